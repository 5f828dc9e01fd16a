package store

import (
	"fmt"
	"sync"
	"testing"

	"finobs/internal/pgtest"
)

// A caller who makes ever new queries takes no more of the database than a bound, and
// nobody notices that statements are forgotten meanwhile.
func TestPreparedStatementsAreBounded(t *testing.T) {
	t.Parallel()
	d, err := open(t.Context(), pgtest.New(t).API, "api")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range mostPrepared {
				var got int
				if err := d.GetContext(t.Context(), &got, fmt.Sprintf("SELECT $1::int + %d", i*(worker+1)), 1); err != nil || got != 1+i*(worker+1) {
					t.Errorf("query %d: %d, %v", i, got, err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := len(d.prepared.by); n > mostPrepared {
		t.Errorf("%d statements are remembered", n)
	}
	// Those that were forgotten are closed with the pool, at the latest.
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	var left int
	again, err := open(t.Context(), pgtest.New(t).API, "api")
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for range 3 {
		if err := again.SelectContext(t.Context(), &[]int{}, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := again.GetContext(t.Context(), &left, "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 1'"); err != nil || left > 1 {
		t.Errorf("a query is prepared %d times on a connection, %v", left, err)
	}
}
