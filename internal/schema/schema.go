// Package schema applies the embedded migrations with sql-migrate.
//
// sql-migrate takes no lock of its own, so one advisory lock serialises every
// run on a database; and it runs as finobs_owner, which cannot log in, through
// a role that may become it.
package schema

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"time"

	"finobs/migrations"

	"github.com/lib/pq"
	migrate "github.com/rubenv/sql-migrate"
)

// Owner is the role that owns every object.
const Owner = "finobs_owner"

// LoginRoles lists the roles that processes log in as. Bootstrap makes them
// without passwords.
func LoginRoles() []string {
	return []string{"finobs_api", "finobs_worker", "finobs_sequencer", "finobs_migrate"}
}

// lockKey is the advisory lock of a migration run ("finobs" in ASCII).
const lockKey int64 = 0x66696e6f6273

// Status is one migration and when it was applied; AppliedAt is zero while it
// waits.
type Status struct {
	ID        string
	AppliedAt time.Time
}

// Bootstrap makes the roles and prepares the database that adminURL names. The
// user of adminURL needs CREATEROLE and to own the database.
func Bootstrap(ctx context.Context, adminURL string) error {
	db, err := sql.Open("postgres", adminURL)
	if err != nil {
		return fmt.Errorf("opening database: %w", err)
	}
	defer db.Close()
	var name string
	if err := db.QueryRowContext(ctx, "SELECT current_database()").Scan(&name); err != nil {
		return fmt.Errorf("connecting as administrator: %w", err)
	}
	if _, err := db.ExecContext(ctx, strings.ReplaceAll(migrations.Bootstrap, "{{database}}", pq.QuoteIdentifier(name))); err != nil {
		return fmt.Errorf("making roles: %w", err)
	}
	return nil
}

// SetPassword sets the password of a login role.
func SetPassword(ctx context.Context, adminURL, role, password string) error {
	db, err := sql.Open("postgres", adminURL)
	if err != nil {
		return fmt.Errorf("opening database: %w", err)
	}
	defer db.Close()
	statement := fmt.Sprintf("ALTER ROLE %s PASSWORD %s", pq.QuoteIdentifier(role), pq.QuoteLiteral(password))
	if _, err := db.ExecContext(ctx, statement); err != nil {
		return fmt.Errorf("setting the password of %s: %w", role, err)
	}
	return nil
}

// Up applies every migration that waits and returns how many it applied.
func Up(ctx context.Context, databaseURL string) (int, error) {
	return run(ctx, databaseURL, migrate.Up, 0)
}

// Down takes back the last n migrations; n = 0 takes back all of them. Data goes
// with its tables.
func Down(ctx context.Context, databaseURL string, n int) (int, error) {
	return run(ctx, databaseURL, migrate.Down, n)
}

func run(ctx context.Context, databaseURL string, direction migrate.MigrationDirection, limit int) (int, error) {
	db, err := openAsOwner(databaseURL)
	if err != nil {
		return 0, err
	}
	defer db.Close()
	lock, err := db.Conn(ctx)
	if err != nil {
		return 0, fmt.Errorf("connecting for migration: %w", err)
	}
	defer lock.Close() // ends the session, and the lock with it
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock($1)", lockKey); err != nil {
		return 0, fmt.Errorf("waiting for another migration: %w", err)
	}
	n, err := set().ExecMaxContext(ctx, db, "postgres", source(), direction, limit)
	if err != nil {
		return n, fmt.Errorf("migrating: %w", err)
	}
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_unlock($1)", lockKey); err != nil {
		return n, fmt.Errorf("releasing the migration lock: %w", err)
	}
	return n, nil
}

// List returns all migrations in their order.
func List(_ context.Context, databaseURL string) ([]Status, error) {
	db, err := openAsOwner(databaseURL)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	known, err := source().FindMigrations()
	if err != nil {
		return nil, fmt.Errorf("reading embedded migrations: %w", err)
	}
	records, err := set().GetMigrationRecords(db, "postgres")
	if err != nil {
		return nil, fmt.Errorf("reading applied migrations: %w", err)
	}
	applied := map[string]time.Time{}
	for _, r := range records {
		applied[r.Id] = r.AppliedAt
	}
	out := make([]Status, 0, len(known))
	for _, m := range known {
		out = append(out, Status{ID: m.Id, AppliedAt: applied[m.Id]})
	}
	return out, nil
}

// MarkEnvironment records what kind of deployment the database serves: dev or
// production.
func MarkEnvironment(ctx context.Context, databaseURL, environment string) error {
	db, err := openAsOwner(databaseURL)
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "UPDATE finobs.deployment SET environment = $1", environment); err != nil {
		return fmt.Errorf("marking the database %s: %w", environment, err)
	}
	return nil
}

func set() migrate.MigrationSet {
	return migrate.MigrationSet{TableName: "migration", SchemaName: "finobs"}
}

func source() migrate.MigrationSource {
	return &migrate.EmbedFileSystemMigrationSource{FileSystem: migrations.FS, Root: "."}
}

// openAsOwner connects so that every session runs as Owner from its start.
func openAsOwner(databaseURL string) (*sql.DB, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("parsing database URL: %w", err)
	}
	q := u.Query()
	q.Set("role", Owner)
	u.RawQuery = q.Encode()
	db, err := sql.Open("postgres", u.String())
	if err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	return db, nil
}
