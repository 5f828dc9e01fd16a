package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/deskfile"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/ledger"
)

// OccurrenceTx is what folding occurrences into incidents needs of a transaction.
type OccurrenceTx interface {
	Recorder
	Now() time.Time
	Desk() *deskfile.Desk
	LockKeys(ctx context.Context, sorted []string) (ended map[string]time.Time, err error)
	EndKey(ctx context.Context, key string, at time.Time) error
	SeenOccurrences(ctx context.Context, list []incident.Occurrence) (map[incident.OccurrenceID]int64, error)
	InsertOccurrences(ctx context.Context, list []incident.Recorded) error
	Heads(ctx context.Context, keys []string) (map[string]incident.Head, error)
	LockIncidents(ctx context.Context, ids []int64) (map[int64]*incident.Incident, error)
	InsertIncident(ctx context.Context, i incident.Incident) (id int64, inserted bool, err error)
	SaveIncident(ctx context.Context, i incident.Incident) error
	WindowsNow(ctx context.Context) ([]incident.Window, error)
}

// occur folds one occurrence into the incident of its dedup key, in the
// transaction of whatever reported it. An occurrence that was folded before
// changes nothing. A transaction calls occur or occurAll once: called again with
// keys that sort lower, two transactions could wait for each other.
func occur(ctx context.Context, tx OccurrenceTx, firstRun string, o incident.Occurrence) (incident.Folded, error) {
	out, err := occurAll(ctx, tx, firstRun, []incident.Occurrence{o})
	if err != nil {
		return incident.Folded{}, err
	}
	return out[0], nil
}

// occurAll is occur for many, which are folded in the order given. There is one
// ledger entry for each incident and kind of folding, with the count.
func occurAll(ctx context.Context, tx OccurrenceTx, firstRun string, list []incident.Occurrence) ([]incident.Folded, error) {
	if len(list) == 0 {
		return []incident.Folded{}, nil
	}
	f := &folder{tx: tx, firstRun: firstRun, threads: map[string]*incident.Thread{}, tallies: map[*incident.Incident]*tally{}}
	now := tx.Now()
	list = slices.Clone(list)
	for n := range list {
		if err := list[n].Validate(); err != nil {
			return nil, err
		}
		// A source whose clock is ahead must not keep its ends from counting.
		if list[n].At.IsZero() || list[n].At.After(now) {
			list[n].At = now
		}
		list[n].At = list[n].At.UTC().Truncate(time.Microsecond) // the database's resolution
	}
	seen, err := f.load(ctx, list)
	if err != nil {
		return nil, err
	}
	out := make([]incident.Folded, len(list))
	where := make([]*incident.Incident, len(list)) // an incident that is new has its id at the end
	for n, o := range list {
		id := incident.OccurrenceID{DedupKey: o.Incident.DedupKey, Key: o.Key}
		if of, again := seen[id]; again {
			out[n] = incident.Folded{IncidentID: of, Folding: incident.Ignored}
			where[n] = f.fresh[id]
			continue
		}
		if out[n].Folding, where[n], err = f.fold(ctx, o); err != nil {
			return nil, err
		}
		seen[id], f.fresh[id] = 0, where[n]
		f.recorded = append(f.recorded, recordOf(o, id))
		f.of = append(f.of, where[n])
	}
	if err := f.save(ctx); err != nil {
		return nil, err
	}
	for n, i := range where {
		if i != nil {
			out[n].IncidentID = i.ID
			if out[n].Folding == incident.Opened && f.suppressed[i] {
				out[n].Folding = incident.Suppressed
			}
		}
	}
	return out, nil
}

// folder folds the occurrences of one transaction.
type folder struct {
	tx       OccurrenceTx
	firstRun string

	threads    map[string]*incident.Thread // by dedup key
	ended      map[string]time.Time        // as the database knows them
	touched    []*incident.Incident        // in the order of their first change
	dirty      map[*incident.Incident]bool // to be written
	tallies    map[*incident.Incident]*tally
	fresh      map[incident.OccurrenceID]*incident.Incident
	recorded   []incident.Recorded
	of         []*incident.Incident // of which recorded is, in the same order
	suppressed map[*incident.Incident]bool
	windows    []incident.Window
	looked     bool // at the windows
}

// tally is what one incident's entries say.
type tally struct {
	by   approval.Principal
	keys map[incident.Folding][]string // occurrences
}

// load locks everything that the occurrences touch and reads it, and returns
// which of them are on record, with their incidents.
func (f *folder) load(ctx context.Context, list []incident.Occurrence) (map[incident.OccurrenceID]int64, error) {
	f.dirty, f.suppressed = map[*incident.Incident]bool{}, map[*incident.Incident]bool{}
	f.fresh = map[incident.OccurrenceID]*incident.Incident{}
	keys := make([]string, 0, len(list))
	for _, o := range list {
		keys = append(keys, o.Incident.DedupKey)
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	var err error
	if f.ended, err = f.tx.LockKeys(ctx, keys); err != nil {
		return nil, err
	}
	seen, err := f.tx.SeenOccurrences(ctx, list)
	if err != nil {
		return nil, err
	}
	heads, locked, err := f.heads(ctx, keys)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		t := &incident.Thread{EndedAt: f.ended[key]}
		if h, found := heads[key]; found {
			t.Current, t.Merged = locked[h.IncidentID], h.Merged
		}
		f.threads[key] = t
	}
	return seen, nil
}

// headAttempts is how often it is looked again for what dedup keys stand for,
// when people merge or reopen incidents at the same time.
const headAttempts = 4

// heads finds and locks the incidents that dedup keys stand for.
func (f *folder) heads(ctx context.Context, keys []string) (map[string]incident.Head, map[int64]*incident.Incident, error) {
	for range headAttempts {
		heads, err := f.tx.Heads(ctx, keys)
		if err != nil || len(heads) == 0 {
			return heads, nil, err
		}
		ids := make([]int64, 0, len(heads))
		for _, h := range heads {
			ids = append(ids, h.IncidentID)
		}
		slices.Sort(ids)
		locked, err := f.tx.LockIncidents(ctx, slices.Compact(ids))
		if err != nil {
			return nil, nil, err
		}
		again, err := f.tx.Heads(ctx, keys)
		if err != nil {
			return nil, nil, err
		}
		if maps.Equal(heads, again) {
			return heads, locked, nil
		}
	}
	return nil, nil, fault.New(fault.Unavailable, "incidents-change", "people change the incidents at the same time; trying again")
}

// fold takes in one occurrence that is not on record.
func (f *folder) fold(ctx context.Context, o incident.Occurrence) (incident.Folding, *incident.Incident, error) {
	t := f.threads[o.Incident.DedupKey]
	if o.Incident.OpenedBy.Subject == "" {
		o.Incident.OpenedBy = detector()
	}
	if o.Incident.TraceID == "" {
		o.Incident.TraceID = traceID(ctx)
	}
	before := t.Current
	folding := t.Fold(f.tx.Desk(), o, f.tx.Now())
	i := t.Current
	if i == nil {
		return folding, nil, nil
	}
	f.touch(i)
	if folding != incident.Ignored {
		own := f.tallies[i]
		if own == nil {
			own = &tally{by: o.Incident.OpenedBy, keys: map[incident.Folding][]string{}}
			f.tallies[i] = own
		}
		if i != before && folding == incident.AutoEnded { // it was opened, and is over at once
			own.keys[incident.Opened] = append(own.keys[incident.Opened], o.Key)
		}
		own.keys[folding] = append(own.keys[folding], o.Key)
	}
	if folding == incident.Opened || folding == incident.Reopened {
		if err := f.suppress(ctx, i); err != nil {
			return folding, i, err
		}
	}
	if folding == incident.AutoEnded { // a round ends with it, and another may begin
		return folding, i, f.write(ctx, i)
	}
	return folding, i, nil
}

func (f *folder) touch(i *incident.Incident) {
	if !slices.Contains(f.touched, i) {
		f.touched = append(f.touched, i)
	}
	f.dirty[i] = true
}

// suppress keeps an incident that begins within a window of maintenance quiet.
func (f *folder) suppress(ctx context.Context, i *incident.Incident) (err error) {
	if !f.looked {
		if f.windows, err = f.tx.WindowsNow(ctx); err != nil {
			return err
		}
		f.looked = true
	}
	i.Suppress(f.tx.Desk(), f.windows, f.tx.Now())
	f.suppressed[i] = !i.SuppressedUntil.IsZero()
	return nil
}

// write inserts or updates an incident, once it is dirty.
func (f *folder) write(ctx context.Context, i *incident.Incident) error {
	if !f.dirty[i] {
		return nil
	}
	delete(f.dirty, i)
	if i.ID != 0 {
		return f.tx.SaveIncident(ctx, *i)
	}
	id, inserted, err := f.tx.InsertIncident(ctx, *i)
	if err == nil && !inserted {
		err = fault.New(fault.Unavailable, "opened-meanwhile", "somebody opened an incident with the dedup key %q at the same time; trying again", i.DedupKey)
	}
	i.ID = id
	return err
}

// save writes what is not written yet, and the entries.
func (f *folder) save(ctx context.Context) error {
	for _, i := range f.touched {
		if err := f.write(ctx, i); err != nil {
			return err
		}
	}
	for n, i := range f.of {
		if i != nil {
			f.recorded[n].IncidentID = i.ID
		}
	}
	if len(f.recorded) > 0 {
		if err := f.tx.InsertOccurrences(ctx, f.recorded); err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(f.threads)) {
		if at := f.threads[key].EndedAt; !at.Equal(f.ended[key]) {
			if err := f.tx.EndKey(ctx, key, at); err != nil {
				return err
			}
		}
	}
	for _, i := range f.touched {
		if err := f.tell(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// foldingEntries are the entries about foldings, in the order in which they make
// sense.
var foldingEntries = []struct {
	folding     incident.Folding
	typ, action string
}{
	{incident.Opened, "incident.opened", "open"}, {incident.Reopened, "incident.reopened", "reopen"},
	{incident.Updated, "incident.updated", "update"}, {incident.Repeated, "incident.repeated", "count"},
	{incident.AutoEnded, "incident.resolved", "resolve"},
}

// tell records what became of an incident.
func (f *folder) tell(ctx context.Context, i *incident.Incident) error {
	own := f.tallies[i]
	if own == nil {
		return nil
	}
	for _, e := range foldingEntries {
		keys := own.keys[e.folding]
		if len(keys) == 0 {
			continue
		}
		outcome := string(e.folding)
		if e.folding == incident.Opened && f.suppressed[i] {
			outcome = string(incident.Suppressed)
		}
		entry := openedEntry(*i, i.ID, outcome, "")
		entry.Type, entry.Action, entry.Actor = e.typ, e.action, ledger.By(own.by)
		if e.folding == incident.AutoEnded {
			entry.Reason = i.Resolution
		}
		details := entry.Details
		details["status"], details["priority"], details["system"], details["owner"] = string(i.Status), string(i.Priority), i.System, i.Owner
		details["occurrences"], details["first_key"] = strconv.FormatInt(i.Occurrences, 10), keys[0]
		details["folded"] = strconv.Itoa(len(keys))
		if _, err := f.tx.Append(ctx, stepOf(ctx, f.firstRun, "occur-"+string(e.folding), ordinalOf(i, keys)), entry); err != nil {
			return err
		}
	}
	return nil
}

// ordinalOf names a batch of occurrences of an incident: each is folded once.
func ordinalOf(i *incident.Incident, keys []string) string {
	sum := sha256.Sum256([]byte(strings.Join(keys, "\x00")))
	return i.DedupKey + " " + hex.EncodeToString(sum[:])
}

// recordOf is what the record keeps of an occurrence.
func recordOf(o incident.Occurrence, id incident.OccurrenceID) incident.Recorded {
	return incident.Recorded{
		OccurrenceID: id, Firing: o.Firing, At: o.At, Summary: cut(o.Incident.Title, incident.MaxTitle), Source: o.Incident.Source,
	}
}
