package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"finobs/internal/approval"
	"finobs/internal/devstack"
	"finobs/internal/identity"
	"finobs/internal/keys"
	"finobs/internal/ledger"
	"finobs/internal/store"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

const (
	streamSockets   = 1000
	streamPerPerson = 20 // sockets of one person
	streamRate      = 20 // events a second
	streamEvents    = 160
	streamDesk      = "FAN"
)

// fanOut is one side of the comparison: where its sockets are, and how an event
// is committed.
type fanOut struct {
	s       *stack
	address string // with the path
	pid     int    // of the server
	tokens  []string
	commit  func(ctx context.Context, id string) error

	p50, p99, memory []float64 // of each round, in ms and MB
	fromLeaf         []float64 // p99 from the place in the log to the message, in ms
}

// measureStreams compares what 1,000 sockets of the API get of the log with what
// as many get of a bare hub.
func measureStreams(ctx context.Context, b *bench) (err error) {
	s, err := b.newStack(ctx, "streams")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ours, err := s.fanOutOfLog(ctx)
	if err != nil {
		return err
	}
	defer ours.close()
	floor, err := s.fanOutOfFloor(ctx)
	if err != nil {
		return err
	}
	const floorIs = "the smallest hub: a notification of Postgres to every socket"
	err = b.measure(ctx, comparison{
		name: fmt.Sprintf("streams/append to message, %d sockets, p99", streamSockets), unit: "ms", better: lower, goal: 1.5, floor: floorIs,
		ours: ours.round, plain: floor.round,
	})
	if err != nil {
		return err
	}
	for _, v := range []struct {
		name, unit  string
		ours, floor []float64
	}{{"append to message, p50", "ms", ours.p50, floor.p50}, {"memory of the server", "MB", ours.memory, floor.memory}} {
		b.report.add(comparison{name: "streams/" + v.name, unit: v.unit, better: lower, floor: floorIs}, v.ours[1:], v.floor[1:])
	}
	b.note("streams/place in the log to message, p99", "ms", 0, ours.fromLeaf[1:]...)
	return nil
}

// logFan is ours, with the writer that appends.
type logFan struct {
	fanOut
	writer *store.Writer
}

func (f *logFan) close() { f.writer.Close() }

// appender is all that the benchmark needs of a transaction of the writer.
type appender interface {
	Append(ctx context.Context, step ledger.Step, e ledger.Entry) (ledger.Receipt, error)
}

// fanOutOfLog puts people on the roster, 20 sockets each.
func (s *stack) fanOutOfLog(ctx context.Context) (*logFan, error) {
	f := &logFan{fanOut: fanOut{s: s, address: s.APIAddress + "/ws/approvals", pid: s.processes[len(roles)-1].PID()}}
	key, err := keys.Load(s.Path("keys", "identity.pem"))
	if err != nil {
		return nil, err
	}
	for i := range streamSockets / streamPerPerson {
		p := approval.Principal{Person: approval.Person{Issuer: identity.DevIssuer, Subject: fmt.Sprintf("fan-%d", i)}, Kind: approval.Human, Roles: []string{"viewer"}, Desk: streamDesk}
		_, err := s.admin.ExecContext(ctx, `INSERT INTO finobs.person (person_key, iss, sub, kind, roles, desk, email, active, version, created_at, updated_at)
			VALUES ($1, $2, $3, 'human', string_to_array($4, ' '), $5, '', true, 1, now(), now())`, p.Key(), p.Issuer, p.Subject, strings.Join(p.Roles, " "), p.Desk)
		if err != nil {
			return nil, fmt.Errorf("putting people on the roster: %w", err)
		}
		token, err := identity.Mint(ctx, key, p, time.Now(), 12*time.Hour)
		if err != nil {
			return nil, err
		}
		f.tokens = append(f.tokens, token)
	}
	if f.writer, err = store.OpenWriter(ctx, s.Settings()["FINOBS_WORKER_DATABASE_URL"]); err != nil {
		return nil, err
	}
	inTx := store.InTx[appender](f.writer)
	f.commit = func(ctx context.Context, id string) error {
		return inTx(ctx, func(tx appender) error {
			_, err := tx.Append(ctx, ledger.Step{Workflow: ledger.Workflow{ID: id}, Step: "bench"}, ledger.Entry{
				Type: "approval.decided", Actor: ledger.Actor{Kind: approval.Human, Person: approval.Person{Issuer: identity.DevIssuer, Subject: "alice"}},
				Subject: ledger.Subject{Kind: "approval", ID: id}, Action: "approve", Outcome: "counted", Reason: "seen", Desk: streamDesk,
			})
			return err
		})
	}
	return f, nil
}

// fanOutOfFloor starts the floor as a process of its own.
func (s *stack) fanOutOfFloor(ctx context.Context) (*fanOut, error) {
	_, err := s.admin.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS bench; CREATE TABLE bench.event (id text PRIMARY KEY, message text NOT NULL);
		GRANT USAGE ON SCHEMA bench TO finobs_worker; GRANT INSERT ON bench.event TO finobs_worker`)
	if err != nil {
		return nil, fmt.Errorf("making the floor's table: %w", err)
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f := &fanOut{s: s, address: fmt.Sprintf("127.0.0.1:%d/", port), tokens: []string{""}}
	p, err := s.Launch("floor-streams", []string{"BENCH_FLOOR_STREAMS=" + strings.TrimSuffix(f.address, "/")}, self)
	if err != nil {
		return nil, err
	}
	s.processes = append(s.processes, p)
	f.pid = p.PID()
	db, err := sql.Open("postgres", s.Settings()["FINOBS_WORKER_DATABASE_URL"])
	if err != nil {
		return nil, err
	}
	insert, err := db.PrepareContext(ctx, `WITH new AS (INSERT INTO bench.event VALUES ($1, $2)) SELECT pg_notify($3, $2)`) //nolint:sqlclosecheck // it lives as long as the process
	if err != nil {
		return nil, err
	}
	f.commit = func(ctx context.Context, id string) error {
		message := fmt.Sprintf(`{"cursor":"1","stream":"approvals","type":"approval.decided","at":"2026-11-24T14:30:00.123456Z","subject":{"type":"approval","id":"%s"},`+
			`"desk":"FAN","is_simulation":false,"actor":{"type":"human","sub":"alice"}}`, id)
		_, err := insert.ExecContext(ctx, id, message, floorChannel)
		return err
	}
	return f, nil
}

// round opens the sockets, commits events at their rate, and returns the p99 of how
// long messages took from when their event's commit began.
func (f *fanOut) round(ctx context.Context) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tag := "bench-" + uuid.NewString()[:8] + "-"
	sockets, err := f.open(ctx)
	defer func() {
		for _, conn := range sockets {
			conn.CloseNow() //nolint:errcheck // the round is over
		}
	}()
	if err != nil {
		return 0, err
	}
	arrived := make([][streamEvents]time.Time, streamSockets)
	errs := make([]error, streamSockets+1)
	var all sync.WaitGroup
	for i, conn := range sockets {
		all.Go(func() { errs[i] = receive(ctx, conn, tag, &arrived[i]) })
	}
	var began [streamEvents]time.Time
	tick := time.NewTicker(time.Second / streamRate)
	defer tick.Stop()
	for i := range streamEvents {
		<-tick.C
		began[i] = time.Now()
		if errs[streamSockets] = f.commit(ctx, tag+strconv.Itoa(i)); errs[streamSockets] != nil {
			cancel()
			break
		}
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	memory, err := residentMB(f.pid)
	if err != nil {
		return 0, err
	}
	placed, err := f.s.placed(ctx, tag)
	if err != nil {
		return 0, err
	}
	var whole, fromLeaf []time.Duration
	for i := range arrived {
		for k, at := range arrived[i] {
			whole = append(whole, at.Sub(began[k]))
			if leaf, ok := placed[k]; ok {
				fromLeaf = append(fromLeaf, at.Sub(leaf))
			}
		}
	}
	f.p50, f.p99 = append(f.p50, milliseconds(percentile(whole, 0.5))), append(f.p99, milliseconds(percentile(whole, 0.99)))
	f.memory, f.fromLeaf = append(f.memory, memory), append(f.fromLeaf, milliseconds(percentile(fromLeaf, 0.99)))
	return f.p99[len(f.p99)-1], nil
}

// open dials all sockets, some at once.
func (f *fanOut) open(ctx context.Context) ([]*websocket.Conn, error) {
	out := make([]*websocket.Conn, streamSockets)
	errs := make([]error, streamSockets)
	var next atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < streamSockets; i = next.Add(1) - 1 {
				header := http.Header{}
				if token := f.tokens[int(i)/streamPerPerson%len(f.tokens)]; token != "" {
					header.Set("Authorization", "Bearer "+token)
				}
				out[i], errs[i] = dialSoon(ctx, "ws://"+f.address, header)
			}
		})
	}
	all.Wait()
	var opened []*websocket.Conn
	for _, conn := range out {
		if conn != nil {
			opened = append(opened, conn)
		}
	}
	return opened, errors.Join(errs...)
}

// dialSoon dials until it is answered, for a while: a server has just been started,
// or has yet to notice that the sockets of the last round are gone.
func dialSoon(ctx context.Context, url string, header http.Header) (*websocket.Conn, error) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, res, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: header})
		if res != nil && res.Body != nil {
			res.Body.Close()
		}
		if err == nil || time.Now().After(deadline) {
			return conn, err
		}
	}
}

// receive reads a socket until it has all events of a round.
func receive(ctx context.Context, conn *websocket.Conn, tag string, arrived *[streamEvents]time.Time) error {
	mark := []byte(`"id":"` + tag)
	for n := 0; n < streamEvents; {
		_, message, err := conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("a socket ended after %d of %d events: %w", n, streamEvents, err)
		}
		now := time.Now()
		_, rest, mine := bytes.Cut(message, mark)
		number, _, _ := bytes.Cut(rest, []byte(`"`))
		i, err := strconv.Atoi(string(number))
		if !mine || err != nil || i >= streamEvents {
			continue // of something else that happens
		}
		if !arrived[i].IsZero() {
			return fmt.Errorf("event %d came twice", i)
		}
		arrived[i] = now
		n++
	}
	return nil
}

// placed is when each event of a round got its place in the log; none of the floor's
// has one.
func (s *stack) placed(ctx context.Context, tag string) (map[int]time.Time, error) {
	rows, err := s.admin.QueryContext(ctx, `SELECT substr(subject_id, length($1) + 1)::integer, sequenced_at FROM ledger.leaf JOIN ledger.entry USING (entry_id)
		WHERE subject_kind = 'approval' AND subject_id LIKE $1 || '%'`, tag)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[int]time.Time{}
	for rows.Next() {
		var i int
		var at time.Time
		if err := rows.Scan(&i, &at); err != nil {
			return nil, err
		}
		out[i] = at
	}
	return out, rows.Err()
}

// residentMB is the memory that a process has; 0 on systems without /proc.
func residentMB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}
