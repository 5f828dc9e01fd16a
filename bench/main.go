// Command bench measures finobs against floors that are measured in the same run
// on the same machine: for each figure there is a smallest program that does the
// same in the plainest way, and what counts is the ratio.
//
//	go run ./bench [-only gate,ledger] [-rounds 5] [-out bench/report.json]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

// suite is a group of comparisons that share a set-up.
type suite struct {
	name  string
	about string
	run   func(context.Context, *bench) error
}

// suites in the order in which they run.
var suites = []suite{
	{"gate", "request, approve, recorded, effect: through the HTTP API against a minimal gated flow", measureGate},
	{"gate-postgres", "the same on a Temporal server over Postgres", measureGateOnPostgres},
	{"ledger", "appends with the log being made, against plain prepared inserts", measureLedger},
	{"verify", "finaudit verify, proofs and appends against hashing in memory", measureVerify},
	{"streams", "1,000 sockets at 20 events a second, against a bare hub", measureStreams},
	{"intake", "alerts taken in and recorded, against a bare handler that inserts the same bodies", measureIntake},
	{"recon", "200,000 trades a side, against the same join in plain SQL", measureRecon},
	{"http", "lists and details against a bare handler over the same query", measureHTTP},
	{"exports", "sealing exports of transactions against psql's COPY of the same rows", measureExports},
	{"load", "loading a file of transactions against psql's \\copy of it", measureLoad},
	{"growth", "the same with ten times as much stored", measureGrowth},
}

// bench is one run.
type bench struct {
	rounds  int
	profile string // folder for profiles; empty: none are taken
	tags    string // build tags of finobs
	full    bool   // also the sizes that take hours
	dir     string // for state; deleted at the end
	report  report
}

func main() {
	var err error
	if listen := os.Getenv("BENCH_FLOOR_HTTP"); listen != "" {
		err = floorHTTP(listen, os.Getenv("FINOBS_API_DATABASE_URL"))
	} else if listen := os.Getenv("BENCH_FLOOR_STREAMS"); listen != "" {
		err = floorStreams(listen, os.Getenv("FINOBS_API_DATABASE_URL"))
	} else if listen := os.Getenv("BENCH_FLOOR_INTAKE"); listen != "" {
		err = floorIntake(listen, os.Getenv("FINOBS_WORKER_DATABASE_URL"))
	} else {
		err = interruptible(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// interruptible runs the benchmark until it ends or somebody ends it.
func interruptible(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, args)
}

func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "comma-separated suites; default: all")
	rounds := flags.Int("rounds", 5, "rounds of each figure, alternating with its floor")
	full := flags.Bool("full", false, "also the sizes that take hours")
	out := flags.String("out", "", "where the report goes; default: bench/report.json, with -full bench/report-full.json")
	plots := flags.String("plots", "", "folder for plots; empty: none")
	doc := flags.String("doc", "", "a Markdown file with a place for the table; empty: none")
	profile := flags.String("profile", "", "folder for CPU profiles of the processes; empty: none")
	earlier := flags.String("against", "", "an earlier report: fail when a ratio is worse by more than 15 %")
	tags := flags.String("tags", "", "build tags of finobs; slow plants a slow-down that must show")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "finobs-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { // Postgres may run as another user
		return err
	}
	if *out == "" {
		*out = "bench/report.json"
		if *full {
			*out = "bench/report-full.json"
		}
	}
	b := &bench{rounds: *rounds, profile: *profile, tags: *tags, full: *full, dir: dir, report: newReport()}
	for _, s := range chosen {
		fmt.Printf("\n%s: %s\n", s.name, s.about)
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	b.report.print(os.Stdout)
	var changes []change
	if *earlier != "" {
		if changes, err = b.report.against(*earlier); err != nil {
			return err
		}
	}
	if err := b.publish(*out, *plots, *doc); err != nil {
		return err
	}
	if n := printChanges(os.Stdout, changes); n > 0 {
		return fmt.Errorf("%d ratios are worse than in %s by more than %.0f %%", n, *earlier, 100*tolerance)
	}
	return nil
}

// publish writes the report and what is made of it.
func (b *bench) publish(out, plots, doc string) error {
	if err := b.report.save(out); err != nil {
		return err
	}
	if plots != "" {
		if err := b.report.plot(plots); err != nil {
			return err
		}
	}
	if doc != "" {
		begins := tableBegins
		if b.full {
			begins = fullTableBegins
		}
		return b.report.document(doc, begins)
	}
	return nil
}

func choose(only string) ([]suite, error) {
	if only == "" {
		return suites, nil
	}
	var out []suite
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no suite %q; there are %s", name, names())
		}
		out = append(out, suites[i])
	}
	return out, nil
}

func names() string {
	var out []string
	for _, s := range suites {
		out = append(out, s.name)
	}
	return strings.Join(out, ", ")
}
