package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"

	_ "github.com/lib/pq"
)

// auditor runs finaudit over the live log, as eve.
func (d *demo) auditor(ctx context.Context, args ...string) (code int, said string, err error) {
	cmd := exec.CommandContext(ctx, d.finaudit(), append(args, "--keys", d.stack.Path("demo-trust"), "--token", d.people["eve"].token)...)
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return 0, "", fmt.Errorf("running finaudit: %w", err)
	}
	return cmd.ProcessState.ExitCode(), strings.TrimSpace(string(out)), nil
}

// verifyLog keeps the log's key and a checkpoint, as an auditor would do once, and
// verifies the whole log.
func (d *demo) verifyLog(ctx context.Context) (string, error) {
	keys, err := d.expect(ctx, "eve", http.MethodGet, "/log/keys", "", http.StatusOK)
	if err != nil {
		return "", err
	}
	var checkpoint answer
	err = d.until(ctx, "the log is signed", func() (bool, error) {
		checkpoint, err = d.people["eve"].do(ctx, http.MethodGet, "/log/checkpoint", "", nil)
		return err == nil && checkpoint.Status == http.StatusOK, err
	})
	if err != nil {
		return "", err
	}
	trust := strings.TrimSpace(string(keys.Body)) + " 0 -\n"
	err = errors.Join(os.WriteFile(d.stack.Path("demo-trust"), []byte(trust), 0o600), os.WriteFile(d.stack.Path("demo-checkpoint"), checkpoint.Body, 0o600))
	if err != nil {
		return "", fmt.Errorf("keeping what the auditor keeps: %w", err)
	}
	code, said, err := d.auditor(ctx, "verify", d.people["eve"].base, "--older", d.stack.Path("demo-checkpoint"))
	if err != nil || code != 0 {
		return "", errors.Join(err, fmt.Errorf("finaudit ended with %d: %s", code, said))
	}
	return strings.ReplaceAll(said, "\n", "; "), nil
}

// renameDecider makes a decision somebody else's.
const renameDecider = `UPDATE ledger.entry SET actor_sub = $3
	WHERE type = 'approval.decided' AND subject_kind = 'approval' AND subject_id = $1 AND actor_sub = $2`

// rewriteEntry is what a superuser of the database can do: he takes the triggers
// off and changes one word. It is put right again afterwards.
func (d *demo) rewriteEntry(ctx context.Context) (said string, err error) {
	if os.Getenv("FINOBS_DATABASE_URL") != "" {
		return "left out: the database is not the demonstration's own", nil
	}
	db, err := sql.Open("postgres", d.stack.AdminURL)
	if err != nil {
		return "", fmt.Errorf("opening the database as superuser: %w", err)
	}
	defer db.Close()
	defer func() {
		undo := context.WithoutCancel(ctx)
		_, backErr := db.ExecContext(undo, renameDecider, d.approvalID, "mallory", "bob")
		_, onErr := db.ExecContext(undo, "ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_is_append_only")
		err = errors.Join(err, backErr, onErr)
	}()
	_, offErr := db.ExecContext(ctx, "ALTER TABLE ledger.entry DISABLE TRIGGER entry_is_append_only")
	_, renameErr := db.ExecContext(ctx, renameDecider, d.approvalID, "bob", "mallory")
	if err := errors.Join(offErr, renameErr); err != nil {
		return "", fmt.Errorf("changing an entry as superuser: %w", err)
	}
	const columnsDiffer = 5
	code, said, err := d.auditor(ctx, "verify", d.people["eve"].base, "--older", d.stack.Path("demo-checkpoint"))
	if err != nil || code != columnsDiffer {
		return "", errors.Join(err, fmt.Errorf("finaudit ended with %d, not %d: %s", code, columnsDiffer, said))
	}
	lines := strings.Split(said, "\n")
	return fmt.Sprintf("exit code %d: %s", code, lines[len(lines)-1]), nil
}
