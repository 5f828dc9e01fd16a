package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"finobs/internal/devstack"

	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var exit bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Tell the whole story on real input: import, incidents, gated export, attacks, crash, offline verification",
		Args:  cobra.NoArgs,
	}
	state := stateFlag(cmd)
	cmd.Flags().BoolVar(&exit, "exit", os.Getenv("DEMO_EXIT") == "1", "end when the story is told; otherwise the stack stays up")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return runDemo(cmd.Context(), *state, exit, cmd.OutOrStdout())
	}
	return cmd
}

// demo is one telling of the story. API and worker are processes of their own,
// so that they can be killed like in real life.
type demo struct {
	stack   *devstack.Stack
	out     io.Writer
	program string // this executable
	api     *devstack.Process
	worker  *devstack.Process
	log     *devstack.Process // the sequencer
	people  map[string]caller
	report  []demoStep

	morning    morning
	desk       deskSystems
	approvalID string
	exportID   string
	bundle     string // path of the folder
}

// demoStep is a step in demo-report.json.
type demoStep struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Detail  string  `json:"detail"`
	Seconds float64 `json:"seconds"`
}

func runDemo(ctx context.Context, state string, exit bool, out io.Writer) (err error) {
	fmt.Fprintln(out, "setting up")
	began := time.Now()
	s, err := startStack(ctx, state, out)
	if err != nil {
		return err
	}
	d := &demo{stack: s, out: out, people: map[string]caller{}}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := d.start(ctx); err != nil {
		return err
	}
	d.note("set up", true, "private Postgres, Temporal, API and worker are up", time.Since(began))
	storyErr := d.tell(ctx)
	if err := errors.Join(storyErr, d.writeReport()); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nall %d steps hold; the report is in %s\n", len(d.report), s.Path("demo-report.json"))
	if exit {
		return nil
	}
	if err := printWelcome(ctx, s, "", out); err != nil {
		return err
	}
	select {
	case err := <-s.Failed():
		return err
	case <-ctx.Done():
		return nil
	}
}

func (d *demo) start(ctx context.Context) (err error) {
	if d.program, err = os.Executable(); err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	// A slow machine tells the same story: an answer waits longer for its record.
	if d.api, err = d.stack.Launch("api", []string{"FINOBS_ANSWER_WAIT=8s"}, d.program, "api"); err != nil {
		return err
	}
	if err := d.startSandbox(); err != nil {
		return err
	}
	if err := d.startWorker(); err != nil {
		return err
	}
	if d.log, err = d.stack.Launch("sequencer", nil, d.program, "sequencer"); err != nil {
		return err
	}
	for _, p := range cast {
		token, err := mint(ctx, identityKey(d.stack.Dir), person(p.name, p.desk, p.role), time.Hour)
		if err != nil {
			return err
		}
		d.people[p.name] = caller{"http://" + d.stack.APIAddress, token}
	}
	return d.until(ctx, "the API is ready", func() (bool, error) {
		a, err := d.people["alice"].do(ctx, http.MethodGet, "/readyz", "", nil)
		return err == nil && a.Status == http.StatusOK, nil
	})
}

func (d *demo) startWorker(args ...string) (err error) {
	d.worker, err = d.stack.Launch("worker", []string{"FINOBS_CONNECTORS=" + d.stack.Path("connectors.yaml")}, d.program, append([]string{"worker"}, args...)...)
	return err
}

func (d *demo) stop() error {
	var errs []error
	for _, p := range []*devstack.Process{d.api, d.worker, d.log, d.desk.process} {
		if p != nil {
			errs = append(errs, p.Stop())
		}
	}
	return errors.Join(append(errs, d.stack.Stop())...)
}

// tell runs the steps in order and ends with the first that does not hold.
func (d *demo) tell(ctx context.Context) error {
	for i, step := range d.steps() {
		fmt.Fprintf(d.out, "\n%2d. %s\n", i+1, step.name)
		began := time.Now()
		detail, err := step.run(ctx)
		if err != nil {
			d.note(step.name, false, err.Error(), time.Since(began))
			return fmt.Errorf("step %q: %w (logs are in %s)", step.name, err, d.stack.Path("logs"))
		}
		d.note(step.name, true, detail, time.Since(began))
		fmt.Fprintf(d.out, "    ok: %s\n    shows: %s\n", detail, step.shows)
	}
	return nil
}

func (d *demo) note(name string, ok bool, detail string, took time.Duration) {
	d.report = append(d.report, demoStep{name, ok, detail, took.Seconds()})
}

func (d *demo) writeReport() error {
	text, err := json.MarshalIndent(d.report, "", "  ")
	if err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	if err := os.WriteFile(d.stack.Path("demo-report.json"), append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	return nil
}

// until polls a condition for up to a minute.
func (d *demo) until(ctx context.Context, what string, holds func() (bool, error)) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		ok, err := holds()
		if ok || err != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("waited a minute in vain until %s", what)
}

// finaudit is the verifier beside this program.
func (d *demo) finaudit() string { return filepath.Join(filepath.Dir(d.program), "finaudit") }
