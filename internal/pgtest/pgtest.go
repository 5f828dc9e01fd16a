// Package pgtest gives each test a database of its own on a real Postgres, under
// the roles and grants of production.
package pgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"finobs/internal/devstack"
	"finobs/internal/schema"
)

// Database holds the connection URLs of one database, each under its role.
type Database struct {
	Admin, Migrate, Worker, API, Sequencer string
}

// server is shared by all tests of a binary and starts with the first.
var server struct {
	sync.Mutex
	dir       string
	postgres  *devstack.Postgres
	passwords map[string]string // by role
}

const template = "finobs_template"

// Main runs the tests of a package and stops the server that they used. Call it
// from TestMain.
func Main(m *testing.M) {
	code := m.Run()
	if server.postgres != nil {
		if err := server.postgres.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
		}
	}
	if server.dir != "" {
		if err := os.RemoveAll(server.dir); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
		}
	}
	os.Exit(code)
}

// New makes a database with the current schema; it is dropped when the test ends.
func New(t testing.TB) Database {
	t.Helper()
	ctx := context.Background()
	server.Lock()
	defer server.Unlock()
	if server.postgres == nil {
		if err := startServer(ctx); err != nil {
			t.Fatalf("pgtest: %v", err)
		}
	}
	name := "t_" + strings.ToLower(rand.Text()[:16])
	if err := admin(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	d := database(name)
	t.Cleanup(func() {
		if err := closePools(d); err != nil {
			t.Errorf("pgtest: %v", err)
		}
		if err := admin(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	// A template's grants on the database itself are not copied.
	if err := schema.Bootstrap(ctx, server.postgres.AdminURL(name)); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	return d
}

func database(name string) Database {
	url := func(role string) string { return server.postgres.URL(role, server.passwords[role], name) }
	return Database{
		Admin: server.postgres.AdminURL(name), Migrate: url("finobs_migrate"), Worker: url("finobs_worker"),
		API: url("finobs_api"), Sequencer: url("finobs_sequencer"),
	}
}

func startServer(ctx context.Context) error {
	bin, err := devstack.EnsurePostgres(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if server.dir, err = os.MkdirTemp("", "finobs-pgtest-"); err != nil {
		return err
	}
	if err := os.Chmod(server.dir, 0o755); err != nil { // Postgres may run as another user
		return err
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		return err
	}
	p, err := devstack.StartPostgres(ctx, devstack.PostgresConfig{
		Bin: bin, Data: filepath.Join(server.dir, "data"), Port: port, Log: filepath.Join(server.dir, "log"),
	})
	if err != nil {
		return err
	}
	server.postgres = p
	if err := admin(ctx, "CREATE DATABASE "+template); err != nil {
		return err
	}
	if err := schema.Bootstrap(ctx, p.AdminURL(template)); err != nil {
		return err
	}
	server.passwords = map[string]string{}
	for _, role := range schema.LoginRoles() {
		server.passwords[role] = rand.Text()
		if err := schema.SetPassword(ctx, p.AdminURL(template), role, server.passwords[role]); err != nil {
			return err
		}
	}
	_, err = schema.Up(ctx, database(template).Migrate)
	return err
}

func admin(ctx context.Context, statement string) error {
	db, err := sql.Open("postgres", server.postgres.AdminURL("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

// pools hold connections by URL until the test's database is dropped: under the race
// detector a log-in takes longer than most statements.
var pools struct {
	sync.Mutex
	of map[string]*sql.DB
}

func pool(databaseURL string) (*sql.DB, error) {
	pools.Lock()
	defer pools.Unlock()
	if db := pools.of[databaseURL]; db != nil {
		return db, nil
	}
	db, err := sql.Open("postgres", databaseURL)
	if err != nil {
		return nil, err
	}
	if pools.of == nil {
		pools.of = map[string]*sql.DB{}
	}
	pools.of[databaseURL] = db
	return db, nil
}

// closePools closes the connections to a database.
func closePools(d Database) error {
	pools.Lock()
	defer pools.Unlock()
	var err error
	for _, url := range []string{d.Admin, d.Migrate, d.Worker, d.API, d.Sequencer} {
		if db := pools.of[url]; db != nil {
			err = errors.Join(err, db.Close())
			delete(pools.of, url)
		}
	}
	return err
}

// session lends a connection, and takes it back as a new one would be.
func session(ctx context.Context, databaseURL string, do func(*sql.Conn) error) error {
	db, err := pool(databaseURL)
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = do(conn)
	if _, reset := conn.ExecContext(ctx, "DISCARD ALL"); reset != nil { // such as within a transaction
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // it is thrown away
	}
	return err
}

// Exec runs SQL under a connection URL and returns its error.
func Exec(t testing.TB, databaseURL, statement string, args ...any) error {
	t.Helper()
	ctx := context.Background()
	return session(ctx, databaseURL, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, statement, args...)
		return err
	})
}

// Value reads one value under a connection URL as text.
func Value(t testing.TB, databaseURL, query string, args ...any) string {
	t.Helper()
	ctx := context.Background()
	var v sql.NullString
	err := session(ctx, databaseURL, func(c *sql.Conn) error { return c.QueryRowContext(ctx, query, args...).Scan(&v) })
	if err != nil {
		t.Fatalf("pgtest: %s: %v", query, err)
	}
	return v.String
}
