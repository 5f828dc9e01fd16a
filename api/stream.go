package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"finobs/internal/approval"
	"finobs/internal/config"
	"finobs/internal/fault"
	"finobs/internal/store"
	"finobs/internal/stream"

	"github.com/gin-gonic/gin"
)

const (
	// logInterval is how often the log is looked at when nobody tells that it grew.
	logInterval = time.Second
	// lookInterval is how often a stream on which nothing happens looks whether its
	// reader may still have it, and rosterInterval how often the roster is read for
	// all who have one; together with the query they stay below memory.
	lookInterval   = 500 * time.Millisecond
	rosterInterval = 400 * time.Millisecond
	// heartbeat is how often a stream shows that it lives.
	heartbeat = 15 * time.Second
	// sendTimeout is how long a link may take for one message.
	sendTimeout = 10 * time.Second
)

// closing is why the server ends a stream: the code of a WebSocket's close frame
// (RFC 6455, section 7.4), or what the last event of an SSE stream says.
type closing struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
}

// Error implements error.
func (c *closing) Error() string { return c.Reason }

// Why streams end; docs/streams.md says what a client does about each.
var (
	closeStopping = &closing{1001, "server-stopping"}
	closeExpired  = &closing{4001, "token-expired"}
	closeLost     = &closing{4003, "permission-lost"}
	closeSlow     = &closing{4008, "slow-consumer"}
	closeBroken   = &closing{1006, "link-broken"} // never sent: nobody is there to read it
)

// streamPermissions says what reading a stream asks of the reader.
var streamPermissions = map[stream.Name]Permission{
	stream.Approvals: ApprovalRead, stream.Incidents: IncidentRead, stream.Compliance: AuditRead,
}

// streams are the open streams of this process, and the hub that feeds them.
type streams struct {
	config.Streams
	origins []string
	reader  *store.Reader
	roster  *rosterCache
	hub     *stream.Hub
	ended   context.Context // with closeStopping as its cause
	end     context.CancelCauseFunc

	mu      sync.Mutex
	total   int
	readers map[string]int // streams of each person, by approval.Person.Key
	open    sync.WaitGroup
}

func newStreams(c config.Streams, r *store.Reader, roster *rosterCache) (*streams, error) {
	origins, err := parseOrigins(c.Origins)
	if err != nil {
		return nil, err
	}
	if c.StreamBuffer < 0 || c.StreamsPerPerson < 0 || c.StreamsInTotal < 0 {
		return nil, errors.New("FINOBS_STREAM_BUFFER, FINOBS_STREAMS_PER_PERSON and FINOBS_STREAMS_IN_TOTAL must not be negative")
	}
	s := &streams{Streams: c, origins: origins, reader: r, roster: roster, hub: stream.NewHub(r, c.StreamBuffer), readers: map[string]int{}}
	s.ended, s.end = context.WithCancelCause(context.Background())
	return s, nil
}

// run follows the log, and the roster, until ctx ends.
func (s *streams) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { s.followLog(ctx) })
	both.Go(func() { s.followRoster(ctx) })
	both.Wait()
}

func (s *streams) followLog(ctx context.Context) {
	nudges := s.reader.LogNudges(ctx)
	poll := time.NewTicker(logInterval)
	defer poll.Stop()
	var failing onceUntil
	for {
		failing.log(ctx, "the log cannot be read for streams; trying again", s.look(ctx))
		select {
		case <-ctx.Done():
			return
		case <-nudges:
		case <-poll.C:
		}
	}
}

// look has the hub read what is new, or only note it while nobody listens: those who
// append would pay for what nobody reads.
func (s *streams) look(ctx context.Context) error {
	skipped, err := s.skip(ctx)
	if err != nil || skipped {
		return err
	}
	return s.hub.Pull(ctx)
}

// skip moves the hub to the end of the log when no stream is open. Whoever is
// admitted afterwards reads from the log what the window does not hold; the lock
// keeps him out until it has moved.
func (s *streams) skip(ctx context.Context) (bool, error) {
	if s.listened() {
		return false, nil
	}
	last, err := s.reader.LastIndex(ctx)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total > 0 {
		return false, nil
	}
	s.hub.Skip(last)
	return true, nil
}

func (s *streams) listened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total > 0
}

// shutdown ends all streams, and waits until their readers were told or ctx ends.
func (s *streams) shutdown(ctx context.Context) {
	s.mu.Lock() // nobody is admitted after this
	s.end(closeStopping)
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.open.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// admit counts a stream of p; release takes it back.
func (s *streams) admit(ctx context.Context, p approval.Principal) (release func(), err error) {
	key := p.Key()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended.Err() != nil:
		return nil, fault.New(fault.Unavailable, "server-stopping", "the server is stopping; connect again")
	case s.total >= s.StreamsInTotal:
		return nil, fault.New(fault.Unavailable, "streams-full", "%d streams are open here, which is the limit; try again", s.total)
	case s.readers[key] >= s.StreamsPerPerson:
		full := newProblem(ctx, http.StatusTooManyRequests, "too-many-streams",
			fmt.Sprintf("you have %d streams open here, which is the limit; close one", s.readers[key]))
		full.retryAfter = retryAfter
		return nil, full
	}
	s.total++
	s.readers[key]++
	s.open.Add(1)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.readers[key]--; s.readers[key] == 0 {
			delete(s.readers, key)
		}
		s.open.Done()
	}, nil
}

// feed is one open stream.
type feed struct {
	*streams
	who    approval.Principal
	key    string        // of who, in the roster
	names  []stream.Name // that the reader asked for
	sub    *stream.Subscription
	expiry time.Time   // zero: never
	wake   *time.Timer // ends a wait in which nothing happens
	judged judgement
}

// judgement is what was found of the reader when the roster was read last.
type judgement struct {
	at    time.Time // when it was read
	p     approval.Principal
	names []stream.Name // that he may read
}

// prepare judges a request for a stream, before anything of it is answered. The
// function that it returns gives back what the stream holds.
func (s *streams) prepare(c *gin.Context, names []stream.Name) (*feed, func(), error) {
	ctx := c.Request.Context()
	for name := range c.Request.URL.Query() {
		if name != "after" {
			return nil, nil, newProblem(ctx, http.StatusBadRequest, "invalid-query", "a stream takes the query parameter after and no other; tokens go into the Authorization header")
		}
	}
	after, err := s.cursor(c)
	if err != nil {
		return nil, nil, err
	}
	release, err := s.admit(ctx, principal(ctx))
	if err != nil {
		return nil, nil, err
	}
	who := principal(ctx)
	return &feed{
		streams: s, who: who, key: who.Key(), names: names, sub: s.hub.Subscribe(after), expiry: expiryOf(c.Request), wake: time.NewTimer(lookInterval),
	}, release, nil
}

// cursor is the index behind which a stream begins. What a client resumes with by
// itself, Last-Event-ID, wins over the address that it was given once.
func (s *streams) cursor(c *gin.Context) (int64, error) {
	ctx := c.Request.Context()
	head, err := s.hub.Head()
	if err != nil {
		return 0, fault.Wrap(err, fault.Unavailable, "streams-not-ready", "the log was not read yet; try again")
	}
	text, name := c.Query("after"), "after"
	if id := c.GetHeader("Last-Event-ID"); id != "" {
		text, name = id, "Last-Event-ID"
	}
	switch {
	case text == "" && !c.Request.URL.Query().Has("after"):
		return head, nil
	case text == "0" && name == "after":
		return -1, nil // from the beginning, the entry 0 included
	}
	after, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, newProblem(ctx, http.StatusBadRequest, "invalid-cursor", fmt.Sprintf("%s must be a cursor of this log, a whole number; %.40q is none", name, text))
	}
	if int64(after) <= head {
		return int64(after), nil
	}
	last, err := s.reader.LastIndex(ctx) // which another process may have shown already
	if err == nil && int64(after) > last {
		err = newProblem(ctx, http.StatusBadRequest, "cursor-ahead", fmt.Sprintf("the log ends at %d; the cursor %d is not of this log", last, after))
	}
	return int64(after), err
}

// outlet is the link to a reader. Errors mean that it is broken.
type outlet interface {
	send(stream.Frame) error
	flush() error
	beat(cursor int64) error // shows that the stream lives
}

// run sends events until something ends the stream, and says what.
func (f *feed) run(ctx context.Context, out outlet) *closing {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(f.ended, func() { end(closeStopping) })()
	if !f.expiry.IsZero() {
		defer time.AfterFunc(time.Until(f.expiry), func() { end(closeExpired) }).Stop()
	}
	beaten := time.Now()
	for {
		events, err := f.wait(ctx)
		if err == nil {
			err = f.deliver(ctx, out, events)
		}
		if err == nil && time.Since(beaten) >= heartbeat {
			beaten = time.Now()
			err = out.beat(f.sub.Cursor())
		}
		var why *closing
		switch {
		case errors.As(err, &why):
			return why
		case ctx.Err() != nil && errors.As(context.Cause(ctx), &why):
			return why
		case err != nil || ctx.Err() != nil:
			return closeBroken
		}
	}
}

// wait returns the next events, or none after a while.
func (f *feed) wait(ctx context.Context) ([]*stream.Event, error) {
	f.wake.Reset(lookInterval)
	events, err := f.sub.Next(ctx, f.wake.C)
	switch {
	case errors.Is(err, stream.ErrSlow):
		return nil, closeSlow
	case err == nil || ctx.Err() != nil:
		return events, ctx.Err()
	}
	f.trouble(ctx, err)
	return nil, ctx.Err()
}

// deliver sends those of the events that the reader may see. Without events it
// still judges whether he may have the stream.
func (f *feed) deliver(ctx context.Context, out outlet, events []*stream.Event) error {
	if len(events) == 0 {
		_, _, err := f.judge(ctx)
		return err
	}
	for _, e := range events {
		p, names, err := f.judge(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			frame, in := e.Frame(name)
			if !in {
				continue
			}
			if approval.MaySee(p, e.Desk) {
				err = out.send(frame)
			}
			break // once, whatever it is in besides
		}
		if err != nil {
			return err
		}
	}
	return out.flush()
}

// judge says who the reader is now and which of the streams he may read now. While
// nobody can tell, it waits: nothing is sent on the strength of what was so once.
func (f *feed) judge(ctx context.Context) (approval.Principal, []stream.Name, error) {
	for {
		k, err := f.roster.member(ctx, f.key, f.who.Person)
		if err == nil {
			if !k.readAt.Equal(f.judged.at) {
				p := k.roster.Reduce(f.who)
				f.judged = judgement{k.readAt, p, readable(p, f.names)}
			}
			if len(f.judged.names) == 0 {
				err = closeLost
			}
			return f.judged.p, f.judged.names, err
		}
		f.trouble(ctx, err)
		if ctx.Err() != nil {
			return approval.Principal{}, nil, ctx.Err()
		}
	}
}

// readable are those of the streams that p may read.
func readable(p approval.Principal, names []stream.Name) []stream.Name {
	out := make([]stream.Name, 0, len(names))
	for _, name := range names {
		if permits(p, streamPermissions[name]) {
			out = append(out, name)
		}
	}
	return out
}

// trouble lets a moment pass while the database does not answer. The follower of
// the log tells of it, for all streams at once.
func (f *feed) trouble(ctx context.Context, _ error) {
	select {
	case <-time.After(logInterval):
	case <-ctx.Done():
	}
}
