package sequencer_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"finobs/internal/pgtest"

	"github.com/google/uuid"
)

const (
	roundTime = 4 * time.Second
	rounds    = 3
)

// insertInto is a plain prepared insert of one entry, as its own transaction.
func insertInto(table string) string {
	return `INSERT INTO ` + table + ` (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at, type, actor_type, actor_iss, actor_sub,
		subject_kind, subject_id, action, outcome, reason, desk, request_id, trace_id, workflow_id, is_simulation)
		VALUES ($1, $2, $3, $4, $5, clock_timestamp(), 'approval.decided', 'human', 'finobs-dev', 'bob', 'approval', '42', 'approve', 'counted',
			'seen', 'EQ', 'r', 't', 'w', false)`
}

// hammer inserts from many connections for a while and returns rows a second.
func hammer(t *testing.T, url, table string, connections int) float64 {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	ctx, stop := context.WithTimeout(context.Background(), roundTime)
	defer stop()
	var rows atomic.Int64
	var all sync.WaitGroup
	leaf := make([]byte, 700)
	for range connections {
		all.Go(func() {
			conn, err := db.Conn(context.Background())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			stmt, err := conn.PrepareContext(context.Background(), insertInto(table))
			if err != nil {
				t.Error(err)
				return
			}
			defer stmt.Close()
			for ctx.Err() == nil {
				id := uuid.Must(uuid.NewV7())
				own := slices.Concat(leaf, id[:])
				sum := sha256.Sum256(own)
				if _, err := stmt.ExecContext(context.Background(), id.String(), sum[:], sum[:], own, sum[:]); err != nil {
					t.Error(err)
					return
				}
				rows.Add(1)
			}
		})
	}
	all.Wait()
	return float64(rows.Load()) / roundTime.Seconds()
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// The sequencer takes its share of the machine; appending must not notice much.
func TestAppendThroughputWithTheSequencer(t *testing.T) {
	if os.Getenv("FINOBS_BENCH") == "" {
		t.Skip("takes minutes; make bench-log sets FINOBS_BENCH")
	}
	for connections, goal := range map[int]float64{8: 0.8, 32: 0.75} {
		t.Run(fmt.Sprint(connections, " connections"), func(t *testing.T) {
			b := newBench(t)
			for _, statement := range []string{
				"CREATE TABLE public.plain (LIKE ledger.entry INCLUDING ALL)", "GRANT USAGE ON SCHEMA public TO finobs_worker",
				"GRANT INSERT ON public.plain TO finobs_worker",
			} {
				if err := pgtest.Exec(t, b.db.Admin, statement); err != nil {
					t.Fatal(err)
				}
			}
			s, db := b.sequencer(t, t.TempDir(), "one")
			var plain, ours, ratios []float64
			for range rounds {
				p := hammer(t, b.db.Worker, "public.plain", connections)
				running, stop := context.WithCancel(ctx)
				var work sync.WaitGroup
				work.Go(func() { s.Run(running) })
				o := hammer(t, b.db.Worker, "ledger.entry", connections)
				stop()
				work.Wait()
				plain, ours, ratios = append(plain, p), append(ours, o), append(ratios, o/p)
			}
			entries := pgtest.Value(t, b.db.Admin, "SELECT count(*) FROM ledger.entry")
			behind := pgtest.Value(t, b.db.Admin, "SELECT (SELECT count(*) FROM ledger.entry) - (SELECT size FROM ledger.tree)")
			t.Logf("%d connections: plain %.0f rows/s, with the sequencer %.0f rows/s, ratio %.2f (%.2f); %s entries, %s behind at the end",
				connections, median(plain), median(ours), median(ratios), ratios, entries, behind)
			if got := median(ratios); got < goal {
				t.Errorf("the ratio is %.2f, the goal is %.2f", got, goal)
			}
			for {
				n, err := s.Once(ctx)
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
			}
			tree, err := db.Tree(ctx)
			if err != nil || fmt.Sprint(tree.Size) != entries {
				t.Errorf("%d of %s entries were sequenced, %v", tree.Size, entries, err)
			}
		})
	}
}
