package devstack_test

import (
	"context"
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"finobs/internal/devstack"
)

func TestFreePortAvoidsATakenOne(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	got, err := devstack.FreePort(taken)
	if err != nil || got == taken || got == 0 {
		t.Errorf("got %d, %v for the taken port %d", got, err, taken)
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	dir := t.TempDir()
	release, err := devstack.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := devstack.Lock(dir); err == nil || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("got %v", err)
	}
	release()
	release, err = devstack.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	release()
}

func startPostgres(t *testing.T, dir string) *devstack.Postgres {
	t.Helper()
	ctx := context.Background()
	bin, err := devstack.EnsurePostgres(ctx, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	p, err := devstack.StartPostgres(ctx, devstack.PostgresConfig{
		Bin: bin, Data: filepath.Join(dir, "data"), Port: port, Durable: true, Log: filepath.Join(dir, "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "finobs-devstack-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := devstack.RemovePostgresData(filepath.Join(dir, "data")); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return dir
}

func rows(t *testing.T, p *devstack.Postgres, before string) int {
	t.Helper()
	db, err := sql.Open("postgres", p.AdminURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(before); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.QueryRow("SELECT count(*) FROM kept").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPostgresKeepsItsDataThroughStopAndKill(t *testing.T) {
	dir := stateDir(t)
	p := startPostgres(t, dir)
	if n := rows(t, p, "CREATE TABLE kept (a int); INSERT INTO kept VALUES (1)"); n != 1 {
		t.Fatalf("got %d rows", n)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	p = startPostgres(t, dir)
	if n := rows(t, p, "INSERT INTO kept VALUES (2)"); n != 2 {
		t.Errorf("after a stop: %d rows, want 2", n)
	}
	if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	p = startPostgres(t, dir)
	if n := rows(t, p, "INSERT INTO kept VALUES (3)"); n != 3 {
		t.Errorf("after kill -9: %d rows, want 3", n)
	}
}

func TestPostgresUnderAFolderThatItsUserCannotReach(t *testing.T) {
	dir := filepath.Join(stateDir(t), "closed")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p := startPostgres(t, dir)
	if n := rows(t, p, "CREATE TABLE kept (a int); INSERT INTO kept VALUES (1)"); n != 1 {
		t.Errorf("got %d rows", n)
	}
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := devstack.RemovePostgresData(filepath.Join(dir, "data")); err != nil {
		t.Error(err)
	}
}
