package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"finobs/internal/devstack"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// shown is what /systems says.
type shown struct {
	State      string      `json:"state"`
	Components []component `json:"components"`
}

type component struct {
	ID         string     `json:"id"`
	State      string     `json:"state"`
	Detail     string     `json:"detail"`
	Since      time.Time  `json:"since"`
	EvidenceAt *time.Time `json:"evidence_at"`
	LatencyMS  *float64   `json:"latency_ms"`
	DependsOn  []string   `json:"depends_on"`
	ImpactedBy []string   `json:"impacted_by"`
}

func (s shown) of(id string) component {
	if i := slices.IndexFunc(s.Components, func(c component) bool { return c.ID == id }); i >= 0 {
		return s.Components[i]
	}
	return component{ID: id, State: "absent"}
}

// systems asks as somebody how everything is; the answer is always 200.
func (s *stack) systems(t *testing.T, who string) (out shown) {
	t.Helper()
	r := want(t, s.call(t, who, "GET", "/api/systems", ""), http.StatusOK)
	if err := json.Unmarshal(r.Body, &out); err != nil {
		t.Fatalf("%v: %s", err, r.Body)
	}
	return out
}

// within is how soon /systems tells that something died, or is back.
const within = 10 * time.Second

// untilSystems waits until the components are in these states, and returns how long
// that took.
func untilSystems(t *testing.T, s *stack, limit time.Duration, states map[string]string) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		got := s.systems(t, "victor")
		var wrong []string
		for id, state := range states {
			if c := got.of(id); c.State != state {
				wrong = append(wrong, fmt.Sprintf("%s is %s, not %s (%s)", id, c.State, state, c.Detail))
			}
		}
		if len(wrong) == 0 {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("after %s:\n%s", limit, strings.Join(wrong, "\n"))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// observed is a stack with everything that /systems looks at.
type observed struct {
	*stack
	s3      *devstack.Versitygw
	s3At    devstack.VersitygwConfig
	mail    *devstack.Mailpit
	mailAt  devstack.MailpitConfig
	siem    *devstack.Rsyslog
	siemAt  devstack.RsyslogConfig
	healthy map[string]string
}

func startObserved(t *testing.T) *observed {
	t.Helper()
	o := &observed{}
	program, err := devstack.EnsureRsyslog(t.Context(), os.Stderr)
	if errors.Is(err, devstack.ErrNoRsyslog) {
		t.Skip(err)
	}
	mailpit, mailErr := devstack.EnsureMailpit(t.Context(), "../.finobs/bin", os.Stderr)
	versity, s3Err := devstack.EnsureVersitygw(t.Context(), "../.finobs/bin", os.Stderr)
	if err := errors.Join(err, mailErr, s3Err); err != nil {
		t.Fatal(err)
	}
	o.stack = ownStack(t, func(s *stack) {
		for _, folder := range []string{"buckets", "versions", "rsyslog"} {
			if err := os.Mkdir(s.Path(folder), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		o.mailAt = devstack.MailpitConfig{Bin: mailpit, SMTPPort: freePort(t), HTTPPort: freePort(t), Log: s.Path("logs", "mail.log")}
		o.s3At = devstack.VersitygwConfig{
			Bin: versity, Port: freePort(t), Log: s.Path("logs", "s3.log"), Root: s.Path("buckets"), Versions: s.Path("versions"), Access: s3Access, Secret: s3Secret,
		}
		o.siemAt = devstack.RsyslogConfig{Program: program, Dir: s.Path("rsyslog"), Port: freePort(t), Output: s.Path("received")}
		o.startServers(t)
		o.configure(t, s)
	})
	t.Cleanup(o.stopServers)
	o.healthy = map[string]string{
		"postgres:postgres": "ok", "temporal:temporal": "ok", "task_queue:finobs": "ok", "workers:workers": "ok", "sequencer:sequencer": "ok", "siem_sink:soc": "ok",
		"destination:archive": "ok", "destination:bucket": "ok", "destination:desk": "ok", "channel:default": "ok",
	}
	return o
}

func (o *observed) startServers(t *testing.T) {
	t.Helper()
	var err [3]error
	// They outlive the context of the function that starts them.
	o.mail, err[0] = devstack.StartMailpit(context.Background(), o.mailAt)
	o.s3, err[1] = devstack.StartVersitygw(context.Background(), o.s3At)
	o.siem, err[2] = devstack.StartRsyslog(context.Background(), o.siemAt)
	if err := errors.Join(err[:]...); err != nil {
		t.Fatal(err)
	}
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(o.s3.URL()), UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(s3Access, s3Secret, ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(s3Bucket)}); err != nil {
		t.Fatal(err)
	}
}

func (o *observed) stopServers() {
	for _, server := range []interface{ Stop() error }{o.mail, o.s3, o.siem} {
		server.Stop() //nolint:errcheck // it may be dead already
	}
}

// configure writes the files of destinations, channels and sinks, and has the
// sequencer read its own.
func (o *observed) configure(t *testing.T, s *stack) {
	t.Helper()
	mail := fmt.Sprintf("{host: 127.0.0.1, port: %d, tls: none, from: finobs@desk.example", o.mailAt.SMTPPort)
	for name, content := range map[string]string{
		"s3-access": s3Access, "s3-secret": s3Secret,
		"places.yaml": fmt.Sprintf(`version: 1
default: archive
groups: {desk: [desk@desk.example]}
destinations:
  - name: archive
    file: {dir: archive}
  - name: bucket
    s3: {endpoint: %q, bucket: %s, path_style: true, allow_private: true, access_key_file: s3-access, secret_key_file: s3-secret, timeout: 3s}
  - name: desk
    smtp: %s, group: desk}
`, o.s3.URL(), s3Bucket, mail),
		"channels.yaml": "version: 1\nchannels:\n  - name: default\n    smtp: " + mail + "}\n",
		"sinks.yaml":    "version: 1\nsinks:\n  - name: soc\n    syslog: {address: \"127.0.0.1:" + strconv.Itoa(o.siemAt.Port) + "\", transport: tcp}\n",
	} {
		keep(t, s.Path(name), []byte(content))
		if err := os.Chmod(s.Path(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.Settings()["FINOBS_DESTINATIONS"], s.Settings()["FINOBS_CHANNELS"] = s.Path("places.yaml"), s.Path("channels.yaml")
	s.Settings()["FINOBS_SINKS"] = s.Path("sinks.yaml")
	if err := errors.Join(s.sequencer.Kill(), s.startSequencer()); err != nil {
		t.Fatal(err)
	}
}

// family is a process and all that it has started.
func family(pid int) (all []int) {
	all = []int{pid}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is constant and well-formed
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(text), ") ")
		if f := strings.Fields(after); len(f) > 1 && f[1] == strconv.Itoa(pid) {
			if child, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				all = append(all, family(child)...)
			}
		}
	}
	return all
}

func signal(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	for _, p := range family(pid) {
		if err := syscall.Kill(p, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

// outage is a way in which something dies, and what /systems has to say then. What
// it does not name has to stay as it is.
type outage struct {
	name       string
	end, again func(t *testing.T)
	states     map[string]string
	impactedBy map[string]string // one that is impacted, by what
	overall    string
}

func (o *observed) outages() []outage {
	stops := func(pid func() int) (end, again func(*testing.T)) {
		return func(t *testing.T) { signal(t, pid(), syscall.SIGSTOP) }, func(t *testing.T) { signal(t, pid(), syscall.SIGCONT) }
	}
	does := func(what func() error) func(*testing.T) {
		return func(t *testing.T) {
			t.Helper()
			if err := what(); err != nil {
				t.Fatal(err)
			}
		}
	}
	probed := map[string]string{"destination:archive": "unknown", "destination:bucket": "unknown", "destination:desk": "unknown", "channel:default": "unknown"}
	with := func(states map[string]string, more map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range []map[string]string{states, more} {
			for id, state := range m {
				out[id] = state
			}
		}
		return out
	}
	noDatabase := with(probed, map[string]string{
		"postgres:postgres": "down", "workers:workers": "unknown", "sequencer:sequencer": "unknown", "siem_sink:soc": "unknown",
	})
	noWorker := with(probed, map[string]string{"workers:workers": "down"})
	noSequencer := map[string]string{"sequencer:sequencer": "down", "siem_sink:soc": "unknown"}
	noTemporal := map[string]string{"temporal:temporal": "down", "task_queue:finobs": "unknown"}
	stopPostgres, contPostgres := stops(o.PostgresPID)
	stopTemporal, contTemporal := stops(o.TemporalPID)
	stopWorker, contWorker := stops(func() int { return o.worker.PID() })
	stopSequencer, contSequencer := stops(func() int { return o.sequencer.PID() })
	stopS3, contS3 := stops(func() int { return o.s3.PID() })
	stopMail, contMail := stops(func() int { return o.mail.PID() })
	ctx := context.Background() // servers outlive the subtest that starts them
	return []outage{
		{"Postgres is stopped", stopPostgres, contPostgres, noDatabase, map[string]string{"siem_sink:soc": "postgres:postgres"}, "down"},
		{
			"Postgres is killed", does(o.KillPostgres), does(func() error { return o.StartPostgresAgain(ctx) }), noDatabase,
			map[string]string{"destination:bucket": "postgres:postgres"}, "down",
		},
		{"Temporal is stopped", stopTemporal, contTemporal, noTemporal, map[string]string{"workers:workers": "temporal:temporal"}, "down"},
		{
			"Temporal is killed", does(o.StopTemporal), does(func() error { return o.StartTemporalAgain(ctx) }), noTemporal,
			map[string]string{"task_queue:finobs": "temporal:temporal"}, "down",
		},
		{"the worker is stopped", stopWorker, contWorker, noWorker, map[string]string{"destination:bucket": "workers:workers"}, "down"},
		{
			"the worker is killed", does(func() error { return o.worker.Kill() }), does(func() error { return o.startWorker("") }), noWorker,
			map[string]string{"channel:default": "workers:workers"}, "down",
		},
		{"the sequencer is stopped", stopSequencer, contSequencer, noSequencer, map[string]string{"siem_sink:soc": "sequencer:sequencer"}, "down"},
		{
			"the sequencer is killed", does(func() error { return o.sequencer.Kill() }), does(o.startSequencer), noSequencer,
			map[string]string{"siem_sink:soc": "sequencer:sequencer"}, "down",
		},
		{
			"the SIEM is killed", does(func() error { return o.siem.Kill() }), does(func() (err error) {
				o.siem, err = devstack.StartRsyslog(ctx, o.siemAt)
				return err
			}), map[string]string{"siem_sink:soc": "down"}, nil, "degraded",
		},
		{"S3 is stopped", stopS3, contS3, map[string]string{"destination:bucket": "down"}, nil, "degraded"},
		{
			"S3 is killed", does(func() error { return o.s3.Kill() }), does(func() (err error) {
				o.s3, err = devstack.StartVersitygw(ctx, o.s3At)
				return err
			}), map[string]string{"destination:bucket": "down"}, nil, "degraded",
		},
		{"the mail server is stopped", stopMail, contMail, map[string]string{"destination:desk": "down", "channel:default": "down"}, nil, "degraded"},
		{
			"the mail server is killed", does(func() error { return o.mail.Kill() }), does(func() (err error) {
				o.mail, err = devstack.StartMailpit(ctx, o.mailAt)
				return err
			}), map[string]string{"destination:desk": "down", "channel:default": "down"}, nil, "degraded",
		},
	}
}

// Each thing that finobs leans on dies, by itself, in two ways. /systems tells
// within 10 s which one it was, blames no other, and tells within 10 s that it is
// back.
func TestSystemsTellWhatDiedAndThatItIsBack(t *testing.T) {
	t.Parallel()
	o := startObserved(t)
	o.open(t, "so that something is in the log")
	untilSystems(t, o.stack, 30*time.Second, o.healthy)
	for _, x := range o.outages() {
		t.Run(x.name, func(t *testing.T) {
			before := time.Now()
			x.end(t)
			revived := false
			t.Cleanup(func() {
				if !revived {
					x.again(t)
				}
			})
			told := untilSystems(t, o.stack, within, x.states)
			time.Sleep(2 * time.Second) // a wrong word about others may come late
			got := o.systems(t, "victor")
			for id, state := range o.healthy {
				if x.states[id] != "" {
					state = x.states[id]
				}
				if c := got.of(id); c.State != state {
					t.Errorf("%s is %s, not %s: %s", id, c.State, state, c.Detail)
				}
			}
			if got.State != x.overall {
				t.Errorf("the whole is %s, not %s", got.State, x.overall)
			}
			for id, by := range x.impactedBy {
				if c := got.of(id); !slices.Contains(c.ImpactedBy, by) {
					t.Errorf("%s is impacted by %v, not by %s", id, c.ImpactedBy, by)
				}
			}
			for id := range x.states {
				if c := got.of(id); c.State == "unknown" && c.EvidenceAt != nil && c.EvidenceAt.After(before.Add(3*time.Second)) {
					t.Errorf("%s has new evidence and is not known: %+v", id, c)
				}
			}
			revived = true
			x.again(t)
			back := untilSystems(t, o.stack, within, o.healthy)
			t.Logf("told after %s, and that it is back after %s", told.Round(100*time.Millisecond), back.Round(100*time.Millisecond))
		})
	}
}

// open reports an incident, and waits until it is on record.
func (o *observed) open(t *testing.T, title string) {
	t.Helper()
	want(t, o.call(t, "alice", "POST", "/incidents", `{"kind":"other","severity":"low","title":"`+title+`"}`, "Idempotency-Key", title), http.StatusCreated)
}

// Nothing is invented: an empty database has the processes that run, what the
// configuration names, and nothing else.
func TestSystemsOfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	s := ownStack(t)
	untilSystems(t, s, 30*time.Second, map[string]string{"workers:workers": "ok", "destination:archive": "ok", "task_queue:finobs": "ok", "sequencer:sequencer": "ok"})
	kinds := map[string]int{}
	for _, c := range s.systems(t, "eve").Components {
		kind, _, _ := strings.Cut(c.ID, ":")
		kinds[kind]++
		if c.EvidenceAt == nil || c.Since.IsZero() || c.Detail == "" {
			t.Errorf("%+v says nothing of when, or of what", c)
		}
	}
	for kind, n := range kinds {
		if n != 1 || !slices.Contains([]string{"postgres", "temporal", "task_queue", "api", "workers", "worker", "sequencer", "destination"}, kind) {
			t.Errorf("%d of kind %s: %v", n, kind, kinds)
		}
	}
	if len(kinds) != 8 {
		t.Errorf("got %v", kinds)
	}

	// What comes in is shown from then on, as far as it says how it is.
	beat := fmt.Sprintf(`{"system":"OMS","status":"degraded","interval_seconds":30,"detail":"queue long","at":%q}`, time.Now().UTC().Format(time.RFC3339))
	if r := s.call(t, "alice", "POST", "/ingest/heartbeat", beat); r.Status/100 != 2 {
		t.Fatalf("answered %d: %s", r.Status, r.Body)
	}
	untilSystems(t, s, 30*time.Second, map[string]string{"system:OMS": "degraded", "feed:heartbeat": "unknown"})
}

// While the database is down, /systems knows who may read it by what the roster said
// before, or else by the token alone; and it is the only route that does.
func TestSystemsAnswerWithoutTheRoster(t *testing.T) {
	t.Parallel()
	s := ownStack(t, func(s *stack) {
		keep(t, s.Path("people.yaml"), []byte("version: 1\npeople:\n  - {iss: finobs-dev, sub: victor, roles: [viewer], desk: EQ}\n  - {iss: finobs-dev, sub: tim, roles: [service], desk: EQ}\n"))
		s.Settings()["FINOBS_ROSTER"] = s.Path("people.yaml")
	})
	want(t, s.call(t, "victor", "GET", "/systems", ""), http.StatusOK)
	want(t, s.call(t, "tim", "GET", "/systems", ""), http.StatusForbidden) // his token says trader, the roster gives him something else
	if err := s.KillPostgres(); err != nil {
		t.Fatal(err)
	}
	for who, status := range map[string]int{
		"victor": http.StatusOK, "alice": http.StatusOK, // she was never seen before
		"tim": http.StatusForbidden, "": http.StatusUnauthorized,
	} {
		began := time.Now()
		if r := s.call(t, who, "GET", "/systems", ""); r.Status != status {
			t.Errorf("%q is answered %d, not %d: %s", who, r.Status, status, r.Body)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%q is answered after %s", who, took)
		}
	}
	untilSystems(t, s, within, map[string]string{"postgres:postgres": "down", "workers:workers": "unknown", "temporal:temporal": "ok"})
	want(t, s.call(t, "bob", "GET", "/systems", ""), http.StatusOK) // known to be down by now, the database is not even asked
	want(t, s.call(t, "victor", "GET", "/approval/", ""), http.StatusServiceUnavailable)
	if err := s.StartPostgresAgain(context.Background()); err != nil {
		t.Fatal(err)
	}
	untilSystems(t, s, within, map[string]string{"postgres:postgres": "ok", "workers:workers": "ok"})
}

// Each API process shows the others, by a heartbeat that needs no right to write.
func TestSystemsShowTheOtherAPIProcesses(t *testing.T) {
	t.Parallel()
	s := ownStack(t)
	port := freePort(t)
	second, err := s.Launch("api2", []string{"FINOBS_LISTEN=127.0.0.1:" + strconv.Itoa(port)}, filepath.Join(bin, "finobs"), "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { second.Kill() }) //nolint:errcheck // it may be dead already
	apis := func() (states []string) {
		for _, c := range s.systems(t, "alice").Components {
			if strings.HasPrefix(c.ID, "api:") {
				states = append(states, c.State)
			}
		}
		slices.Sort(states)
		return states
	}
	eventually(t, "the other one is shown", func() bool { return slices.Equal(apis(), []string{"ok", "ok"}) })
	began := time.Now()
	signal(t, second.PID(), syscall.SIGSTOP)
	eventually(t, "the other one is stopped", func() bool { return slices.Equal(apis(), []string{"down", "ok"}) })
	if took := time.Since(began); took > within {
		t.Errorf("told after %s", took)
	}
	signal(t, second.PID(), syscall.SIGCONT)
	eventually(t, "the other one is back", func() bool { return slices.Equal(apis(), []string{"ok", "ok"}) })
	if err := second.Stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other one has ended", func() bool { return slices.Equal(apis(), []string{"ok"}) })
	if n := count(t, s, "SELECT count(*) FROM pg_stat_activity WHERE usename = 'finobs_api' AND application_name LIKE 'finobs-api %'"); n != 1 {
		t.Errorf("%d connections have the name of an API process", n)
	}
}

func TestCommandsOfTheSystems(t *testing.T) {
	untilSystems(t, world, 30*time.Second, map[string]string{"destination:archive": "ok"})
	runCommandsOf(t, "../docs/systems.md", `"id":"postgres:postgres"`, `"id":"workers:workers"`, `"id":"destination:archive"`)
}
