package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"

	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/event"
	"finobs/internal/failpoint"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/ledger"
)

// EventTx is what recording events needs of a transaction.
type EventTx interface {
	OccurrenceTx
	Recorded(ctx context.Context, step ledger.Step) (bool, error)
	LatestStates(ctx context.Context, conditions [][2]string) (map[[2]string]event.Latest, error)
	PutPayloads(ctx context.Context, list []event.Delivery) error
	PutEvents(ctx context.Context, list []event.Event) (added []int, err error)
	Heard(ctx context.Context, sources []string) error
	Beat(ctx context.Context, list []event.Beat) (before map[string]event.HeartbeatStatus, err error)
}

// Events are the activities over what sources report.
type Events struct {
	InTx     Transaction[EventTx]
	Verifier *attest.Verifier
	Segments Segments
}

// Segments holds received segments by their SHA-256.
type Segments interface {
	Spool
	Remove(name string) error
}

// SegmentInput is a segment with the API's word that it was received.
type SegmentInput struct {
	FirstRun string `json:"first_run"`
	Command  string `json:"command"`
	SHA256   string `json:"sha256"` // hexadecimal; the segment lies in the folder of segments under this name
	Events   int    `json:"events"` // in it; without any, nothing is lost with the file
}

// RecordSegment records the deliveries of a segment in one transaction: payloads,
// events, heartbeats, and what they mean for incidents.
func (x *Events) RecordSegment(ctx context.Context, in SegmentInput) ([]event.Recorded, error) {
	digest, err := event.SegmentDigest(in.SHA256)
	if err != nil {
		return nil, temporalError(fault.Wrap(err, fault.Invalid, "invalid-segment", "the segment's digest is not valid text"))
	}
	c, err := command(ctx, x.Verifier, in.Command, digest)
	if err != nil {
		return nil, temporalError(refuseStart(ctx, x.InTx, in.FirstRun, in.Command, err))
	}
	segment, err := x.read(in.SHA256)
	if errors.Is(err, fs.ErrNotExist) {
		return x.dropped(ctx, in)
	}
	if err != nil {
		return nil, temporalError(err)
	}
	var out []event.Recorded
	err = x.InTx(ctx, func(tx EventTx) (err error) {
		out, err = recordSegment(ctx, tx, in, c, segment)
		return err
	})
	failpoint.Hit("events.after-record")
	if err == nil {
		err = x.Segments.Remove(in.SHA256)
	}
	return out, temporalError(err)
}

// read reads a segment and checks that it is the one that the API vouches for.
func (x *Events) read(sha string) (event.Segment, error) {
	file, err := x.Segments.Open(sha)
	if err != nil {
		return nil, fmt.Errorf("opening segment: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	segment, err := event.ReadSegment(io.TeeReader(file, sum))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-segment", "the segment cannot be read")
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != sha {
		return nil, fault.New(fault.Invalid, "invalid-segment", "the segment was changed after it was received: it has the digest %s", got)
	}
	return segment, nil
}

// dropped answers for a segment that is gone: an attempt whose reply was lost
// recorded it and removed the file. Otherwise something else did, which people must
// see.
func (x *Events) dropped(ctx context.Context, in SegmentInput) ([]event.Recorded, error) {
	recorded := in.Events == 0
	err := x.InTx(ctx, func(tx EventTx) (err error) {
		if !recorded {
			recorded, err = tx.Recorded(ctx, stepOf(ctx, in.FirstRun, "record-events", in.SHA256))
		}
		return err
	})
	if err == nil && !recorded {
		err = fmt.Errorf("segment %s is missing though it is not on record", in.SHA256)
	}
	return nil, temporalError(err)
}

// gathered is a segment's events and heartbeats, and of which delivery each is.
type gathered struct {
	events  []event.Event
	of      []int // by event: its delivery
	beats   []event.Beat
	sources []string
}

func gather(segment event.Segment) gathered {
	var g gathered
	for i, d := range segment {
		g.sources = append(g.sources, d.Source)
		for _, e := range d.Events {
			g.events, g.of = append(g.events, e), append(g.of, i)
		}
		for _, h := range d.Heartbeats {
			g.beats = append(g.beats, event.Beat{Heartbeat: h, Source: d.Source, Origin: d.Origin})
		}
	}
	return g
}

func recordSegment(ctx context.Context, tx EventTx, in SegmentInput, c attest.Command, segment event.Segment) ([]event.Recorded, error) {
	g := gather(segment)
	for _, e := range g.events {
		if err := e.Validate(); err != nil {
			return nil, err
		}
	}
	// First, and of the segment alone: that it is there already says that an attempt
	// whose reply was lost has done everything.
	if len(g.events) > 0 {
		receipt, err := tx.Append(ctx, stepOf(ctx, in.FirstRun, "record-events", in.SHA256), segmentEntry(in, c, segment, g))
		if err != nil || receipt.Replayed {
			return repeated(segment), err
		}
	}
	if err := tx.PutPayloads(ctx, withEvents(segment)); err != nil {
		return nil, err
	}
	if err := tx.Heard(ctx, g.sources); err != nil {
		return nil, err
	}
	out, occurrences, of, err := recordEvents(ctx, tx, segment, g)
	if err != nil {
		return nil, err
	}
	beating, err := recordBeats(ctx, tx, g.beats)
	if err != nil {
		return nil, err
	}
	folded, err := occurAll(ctx, tx, in.FirstRun, append(occurrences, beating...))
	if err != nil {
		return nil, err
	}
	for i, d := range of {
		out[d].Incidents = append(out[d].Incidents, folded[i])
	}
	return out, nil
}

// withEvents are the deliveries whose bodies are kept. Heartbeats are many and
// alike: what they say is the row.
func withEvents(segment event.Segment) []event.Delivery {
	var out []event.Delivery
	for _, d := range segment {
		if len(d.Events) > 0 {
			out = append(out, d)
		}
	}
	return out
}

// repeated says that everything of a segment was on record.
func repeated(segment event.Segment) []event.Recorded {
	out := make([]event.Recorded, len(segment))
	for i, d := range segment {
		out[i] = event.Recorded{Repeated: len(d.Events), Heartbeats: len(d.Heartbeats)}
	}
	return out
}

// recordEvents records the events, and says what each delivery brought and which
// occurrences follow, each with its delivery.
func recordEvents(ctx context.Context, tx EventTx, segment event.Segment, g gathered) ([]event.Recorded, []incident.Occurrence, []int, error) {
	if err := settleTimeless(ctx, tx, g.events); err != nil {
		return nil, nil, nil, err
	}
	added, err := tx.PutEvents(ctx, g.events)
	if err != nil {
		return nil, nil, nil, err
	}
	out := repeated(segment)
	var occurrences []incident.Occurrence
	var of []int
	for _, place := range added {
		d := g.of[place]
		out[d].Events++
		out[d].Repeated--
		if o, is := g.events[place].Occurrence(segment[d].Desk); is {
			occurrences, of = append(occurrences, o), append(of, d)
		}
	}
	return out, occurrences, of, nil
}

// settleTimeless gives events whose source states neither an id nor a time a key:
// one that says what its condition's last event said is that one again, and one
// that says otherwise is a new one.
func settleTimeless(ctx context.Context, tx EventTx, events []event.Event) error {
	var conditions [][2]string
	for _, e := range events {
		if e.Timeless {
			conditions = append(conditions, [2]string{e.Source, e.Fingerprint})
		}
	}
	if len(conditions) == 0 {
		return nil
	}
	latest, err := tx.LatestStates(ctx, conditions)
	if err != nil {
		return err
	}
	for i := range events {
		if e := &events[i]; e.Timeless {
			condition := [2]string{e.Source, e.Fingerprint}
			latest[condition] = e.Settle(latest[condition])
		}
	}
	return nil
}

// recordBeats records heartbeats; a system that says it is not well is a condition
// until it says that it is.
func recordBeats(ctx context.Context, tx EventTx, beats []event.Beat) ([]incident.Occurrence, error) {
	if len(beats) == 0 {
		return nil, nil
	}
	before, err := tx.Beat(ctx, beats)
	if err != nil {
		return nil, err
	}
	var out []incident.Occurrence
	newest, _ := event.Newest(beats)
	for _, b := range newest {
		// One that is new may be so to two transactions at once, of which the other
		// says that it is not well: so it is said that it is.
		if was, taken := before[b.System]; taken && was != b.Status {
			out = append(out, b.Occurrence())
		}
	}
	return out, nil
}

// mostSources bounds the names in one entry; an entry is small.
const mostSources = 20

func segmentEntry(in SegmentInput, c attest.Command, segment event.Segment, g gathered) ledger.Entry {
	counts := map[string]int{}
	var payloads, names []string
	for _, d := range segment {
		if counts[d.Source] == 0 && len(names) < mostSources {
			names = append(names, d.Source)
		}
		counts[d.Source]++
		if len(d.Events) > 0 && len(payloads) < mostSources {
			payloads = append(payloads, d.ContentSHA256)
		}
	}
	return ledger.Entry{
		Type: "events.received", Actor: ledger.By(c.Principal), Subject: ledger.Subject{Kind: "segment", ID: in.SHA256},
		Action: "ingest", Outcome: "recorded", RequestID: c.RequestID, TraceID: c.TraceID,
		Details: canonical.Object{
			"deliveries": strconv.Itoa(len(segment)), "events": strconv.Itoa(len(g.events)),
			"heartbeats": strconv.Itoa(len(g.beats)), "sources": names, "payload_sha256": payloads,
		},
	}
}
