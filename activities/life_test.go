package activities_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/activities"
	"finobs/internal/approval"
	deskrules "finobs/internal/desk"
	"finobs/internal/deskfile"
	"finobs/internal/fault"
	"finobs/internal/incident"
	"finobs/internal/store"
)

const lifeDesk = `version: 1
channel: mail
repeat: 10m
close_after: 24h
severities:
  high:
    acknowledge: 15m
    resolve: 4h
    ladder:
      - {after: 0s, kind: reminder, to: '"analyst" in member.roles'}
      - {after: 10m, kind: escalation, to: '"admin" in member.roles'}
    overdue: [{after: 0s, to: '"analyst" in member.roles'}]
  low: {ladder: [{after: 1h, kind: reminder, to: 'true'}]}
notices:
  raise: {10: high}
`

// newLife is a desk with a desk file, an analyst and a channel.
func newLife(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	rules, err := deskfile.Load(strings.NewReader(lifeDesk))
	if err != nil {
		t.Fatal(err)
	}
	d.writer.SetDesk(rules)
	d.addMember(t, "carol", true)
	if err := d.writer.SetChannels(ctx, []string{"mail"}); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) lives() *activities.Lives {
	return &activities.Lives{InTx: store.InTx[activities.LifeTx](d.writer)}
}

func (d *desk) advance(t *testing.T, id int64) activities.LifeStatus {
	t.Helper()
	out, err := run[activities.LifeStatus](t, d.lives().AdvanceIncident, activities.LifeRef{FirstRun: firstRun, IncidentID: id})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// pass lets time pass for an incident.
func (d *desk) pass(t *testing.T, id int64, minutes int) {
	t.Helper()
	d.exec(t, `UPDATE finobs.incident SET ladder_from = ladder_from - $2 * interval '1 minute', resolve_due_at = resolve_due_at - $2 * interval '1 minute',
		resolved_at = resolved_at - $2 * interval '1 minute', opened_at = opened_at - $2 * interval '1 minute' WHERE incident_id = $1`, id, minutes)
}

func (d *desk) notices(t *testing.T, id int64) string {
	t.Helper()
	return d.count(t, "SELECT coalesce(string_agg(occasion || ' ' || status, ', ' ORDER BY created_at, occasion), '') FROM finobs.notification WHERE incident_id = $1", id)
}

func TestTheLifeOfAnIncident(t *testing.T) {
	d := newLife(t)
	id := d.opens(t)
	first := d.advance(t, id)
	if first.Status != incident.Open || first.WakeIn < 9*time.Minute || first.WakeIn > 10*time.Minute || !strings.Contains(first.Words, "waits for somebody") {
		t.Errorf("at first: %+v", first)
	}
	for range 3 {
		d.advance(t, id) // retries, or two lives at once
	}
	if got := d.notices(t, id); got != "1-reminder-1 queued" {
		t.Errorf("told: %s", got)
	}
	d.pass(t, id, 10)
	if got := d.advance(t, id); got.WakeIn < 9*time.Minute || !strings.Contains(got.Words, "level 1") {
		t.Errorf("after ten minutes: %+v", got)
	}
	d.pass(t, id, 25)
	d.advance(t, id)
	if got := d.notices(t, id); got != "1-reminder-1 queued, 1-escalation-2 queued, 1-repeat-2 queued" {
		t.Errorf("told: %s", got)
	}
	d.does(t, "bob", incident.Act{Verb: incident.Acknowledge, IncidentID: id})
	if got := d.notices(t, id); got != "1-reminder-1 skipped, 1-escalation-2 skipped, 1-repeat-2 skipped" {
		t.Errorf("after the acknowledgement: %s", got)
	}
	d.pass(t, id, 120)
	if got := d.advance(t, id); got.Status != incident.Acknowledged || !strings.Contains(got.Words, "by bob") {
		t.Errorf("acknowledged: %+v", got)
	}
	d.pass(t, id, 120)
	d.advance(t, id)
	if got := d.notices(t, id); !strings.HasSuffix(got, "1-overdue-1 queued") || strings.Count(got, ",") != 3 {
		t.Errorf("overdue: %s", got)
	}
	d.does(t, "bob", incident.Act{Verb: incident.Resolve, IncidentID: id, Text: "done"})
	d.pass(t, id, 23*60)
	if got := d.advance(t, id); got.Status != incident.Resolved || got.WakeIn > time.Hour {
		t.Errorf("resolved: %+v", got)
	}
	d.pass(t, id, 60)
	if got := d.advance(t, id); got.Status != incident.Closed || got.WakeIn != 0 {
		t.Errorf("a day later: %+v", got)
	}
	for kind, wanted := range map[string]string{"incident.reminded": "1", "incident.escalated": "2", "incident.overdue": "1", "incident.closed": "1"} {
		if n := d.incidentEntries(t, id, kind); n != wanted {
			t.Errorf("%s entries %s, want %s", n, kind, wanted)
		}
	}
	if got := d.count(t, "SELECT recipients #>> '{0,email}' FROM finobs.notification WHERE occasion = '1-reminder-1'"); got != "carol@desk.example" {
		t.Errorf("the reminder goes to %s", got)
	}
}

// A rung that falls due in the moment of an acknowledgement comes before it or
// never.
func TestAnAcknowledgementAndARungInTheSameMoment(t *testing.T) {
	d := newLife(t)
	before := 0
	for range 20 {
		id := d.opens(t)
		d.pass(t, id, 10)
		var both sync.WaitGroup
		both.Go(func() { d.advance(t, id) })
		both.Go(func() { d.does(t, "bob", incident.Act{Verb: incident.Acknowledge, IncidentID: id}) })
		both.Wait()
		d.pass(t, id, 60)
		d.advance(t, id)
		fired := d.count(t, "SELECT count(*) FROM finobs.incident_rung WHERE incident_id = $1", id)
		left := d.count(t, "SELECT count(*) FROM finobs.notification WHERE incident_id = $1 AND status = 'queued'", id)
		if fired != "0" && fired != "2" || left != "0" {
			t.Errorf("incident %d: %s rungs fired, %s notifications are to be sent", id, fired, left)
		}
		if fired == "2" {
			before++
		}
	}
	t.Logf("in %d of 20 the rungs came first", before)
}

// What is queued is looked at again when it is sent.
func TestNoticesAboutIncidentsAreCheckedWhenTheyAreSent(t *testing.T) {
	d := newLife(t)
	messenger := &messages{}
	notices := &activities.Notices{InTx: store.InTx[activities.NoticeTx](d.writer), Messenger: messenger}
	send := func(id int64, occasion string) string {
		t.Helper()
		ref := activities.NoticeRef{FirstRun: firstRun, NotificationID: d.count(t, "SELECT notification_id FROM finobs.notification WHERE incident_id = $1 AND occasion = $2", id, occasion)}
		status, err := run[approval.NoticeStatus](t, notices.SendNotice, ref)
		if err != nil {
			t.Fatal(err)
		}
		return string(status)
	}
	open, acknowledged, suppressed, overdue := d.opens(t), d.opens(t), d.opens(t), d.opens(t)
	for _, id := range []int64{open, acknowledged, suppressed, overdue} {
		d.advance(t, id)
	}
	// Behind the back of the act, which would have cancelled it.
	d.exec(t, "UPDATE finobs.incident SET status = 'acknowledged' WHERE incident_id IN ($1, $2)", acknowledged, overdue)
	d.exec(t, "UPDATE finobs.incident SET suppressed_until = now() + interval '1 hour' WHERE incident_id = $1", suppressed)
	d.pass(t, overdue, 300)
	d.advance(t, overdue)
	for _, step := range []struct {
		id             int64
		occasion, want string
	}{
		{open, "1-reminder-1", "sent"}, {acknowledged, "1-reminder-1", "skipped"}, {suppressed, "1-reminder-1", "skipped"}, {overdue, "1-overdue-1", "sent"},
	} {
		if got := send(step.id, step.occasion); got != step.want {
			t.Errorf("incident %d, %s: %s, want %s", step.id, step.occasion, got, step.want)
		}
	}
	if got := strings.Join(messenger.sent, " "); got != "1-reminder-1 1-overdue-1" {
		t.Errorf("sent %s", got)
	}
	if n := d.count(t, "SELECT count(*) FROM ledger.entry WHERE subject_kind = 'incident' AND type LIKE 'notification.%'"); n != "4" {
		t.Errorf("%s entries about notifications", n)
	}
}

// Many notices fold into one incident; as their number makes it worse, the ladder
// of the new severity begins.
func TestTheLadderOfNoticesThatRise(t *testing.T) {
	d := newLife(t)
	var id int64
	for n := range 12 {
		id = d.foldOne(t, firing("notices:smars", strconv.Itoa(n), time.Minute)).IncidentID
		d.advance(t, id)
	}
	if i := d.incident(t, id); i.Severity != deskrules.High || i.Occurrences != 12 || i.AckDueAt.IsZero() {
		t.Errorf("%s after %d notices", i.Severity, i.Occurrences)
	}
	if got := d.notices(t, id); got != "2-reminder-1 queued" {
		t.Errorf("told: %s", got)
	}
}

// Nudges are handed to one worker, and again to one while no life has looked.
func TestNudgesAreTakenOnce(t *testing.T) {
	d := newLife(t)
	id := d.opens(t)
	taken := func() int {
		t.Helper()
		list, err := d.writer.TakeNudged(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if a, b := taken(), taken(); a != 1 || b != 0 {
		t.Errorf("taken %d times, and %d times again", a, b)
	}
	d.exec(t, "UPDATE finobs.incident SET nudge_at = nudge_at - interval '21 seconds'")
	if n := taken(); n != 1 {
		t.Errorf("after a while %d are there", n)
	}
	d.advance(t, id)
	d.exec(t, "UPDATE finobs.incident SET nudge_at = nudge_at - interval '21 seconds'")
	if n := taken(); n != 0 {
		t.Errorf("after a life has looked %d are there", n)
	}
	d.does(t, "bob", incident.Act{Verb: incident.Acknowledge, IncidentID: id})
	if n := taken(); n != 1 {
		t.Errorf("after an act %d are there", n)
	}
	d.does(t, "bob", incident.Act{Verb: incident.Comment, IncidentID: id, Text: "no reason to look"})
	d.advance(t, id)
	d.foldOne(t, firing(d.incident(t, id).DedupKey, "again", 0))
	if n := taken(); n != 0 {
		t.Errorf("after a comment and a repetition %d are there", n)
	}
}

func TestALifeIsRestartedOnce(t *testing.T) {
	d := newLife(t)
	id, closed := d.opens(t), d.bring(t, incident.Closed)
	d.advance(t, id)
	for n, wanted := range []bool{true, true} { // found twice: on record once
		changed, err := d.lives().RestartLife(ctx, "default", "incident-life-1", id, "run-x", "ended (Terminated)")
		if err != nil || changed != wanted {
			t.Errorf("attempt %d: %t, %v", n, changed, err)
		}
	}
	if n := d.incidentEntries(t, id, "incident.life_restarted"); n != "1" {
		t.Errorf("%s entries", n)
	}
	if changed, err := d.lives().RestartLife(ctx, "default", "incident-life-2", closed, "run-y", "is gone"); changed || err != nil {
		t.Errorf("of what is closed: %t, %v", changed, err)
	}
	if _, err := run[activities.LifeStatus](t, d.lives().AdvanceIncident, activities.LifeRef{IncidentID: 999}); code(err) != "no-such-incident" {
		t.Errorf("of nothing: %v", err)
	}
}

// MTTA, MTTR and promises against a table that was computed by hand.
func TestFiguresOfIncidents(t *testing.T) {
	d := newLife(t)
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	type round struct{ ack, ackDue, resolve, resolveDue int } // minutes after its begin; 0: not
	for n, rounds := range [][]round{
		{{ack: 10, ackDue: 15, resolve: 60, resolveDue: 240}},                      // in time, both
		{{ack: 20, ackDue: 15, resolve: 300, resolveDue: 240}},                     // late, both
		{{ackDue: 15, resolve: 5, resolveDue: 240}},                                // ended by itself: in time, never acknowledged
		{{ackDue: 15, resolveDue: 240}},                                            // nobody cares: late, both
		{{ack: 30, resolve: 90}},                                                   // nothing was promised
		{{ack: 2, ackDue: 15, resolve: 45, resolveDue: 240}, {ack: 40, ackDue: 5}}, // reopened; acknowledged late, not resolved, not promised
	} {
		id := d.opens(t)
		d.exec(t, "UPDATE finobs.incident SET opened_at = $2, owner = 'fix', occurrences = $3, reopened = $4 WHERE incident_id = $1", id, noon, n+1, len(rounds)-1)
		d.exec(t, "DELETE FROM finobs.incident_round WHERE incident_id = $1", id)
		for k, r := range rounds {
			at := func(minute int) any {
				if minute == 0 {
					return nil
				}
				return noon.Add(time.Duration(minute) * time.Minute)
			}
			d.exec(t, "INSERT INTO finobs.incident_round VALUES ($1, $2, $3, $4, $5, $6, $7)", id, k, noon, at(r.ackDue), at(r.resolveDue), at(r.ack), at(r.resolve))
		}
	}
	merged, demo, outside := d.opens(t), d.opens(t), d.opens(t)
	d.exec(t, "UPDATE finobs.incident SET opened_at = $1", noon)
	d.exec(t, "UPDATE finobs.incident_round SET began_at = $1", noon)
	d.exec(t, "UPDATE finobs.incident SET status = 'closed', merged_into = $2 WHERE incident_id = $1", merged, demo)
	d.exec(t, "UPDATE finobs.incident SET origin = 'demo' WHERE incident_id = $1", demo)
	d.exec(t, "UPDATE finobs.incident SET opened_at = $2 WHERE incident_id = $1", outside, noon.Add(time.Hour))
	d.exec(t, "UPDATE finobs.incident_round SET began_at = $2 WHERE incident_id = $1", outside, noon.Add(time.Hour))
	window := store.IncidentWindow{From: noon, To: noon.Add(time.Hour), Origin: "live"}
	counts, times, err := d.reader.IncidentMetrics(ctx, window)
	if err != nil {
		t.Fatal(err)
	}
	var n, occurrences int64
	for _, c := range counts {
		n, occurrences = n+c.N, occurrences+c.Occurrences
	}
	if n != 6 || occurrences != 21 {
		t.Errorf("%d incidents, %d occurrences; want 6, 21", n, occurrences)
	}
	minute := func(p *float64) float64 {
		if p == nil {
			return -1
		}
		return *p / 60
	}
	for name, got := range map[string][2]float64{
		"rounds": {float64(times.Rounds), 7}, "reopened": {float64(times.Reopened), 1},
		"acknowledged": {float64(times.AckN), 5}, "MTTA": {minute(times.AckMean), (10. + 20 + 30 + 2 + 40) / 5}, "its median": {minute(times.AckP50), 20},
		"its 95th": {minute(times.AckP95), 38}, // 0.8 of the way from 30 to 40
		"resolved": {float64(times.ResolveN), 5}, "MTTR": {minute(times.Mean), (60. + 300 + 5 + 90 + 45) / 5}, "its median, to resolve": {minute(times.P50), 60},
		"its 95th, to resolve": {minute(times.P95), 258}, // 0.8 of the way from 90 to 300
		"acknowledged in time": {float64(times.AckMet), 3}, "acknowledged late": {float64(times.AckBroken), 3}, "to be acknowledged": {float64(times.AckPending), 0},
		"resolved in time": {float64(times.ResMet), 3}, "resolved late": {float64(times.ResBroken), 2}, "to be resolved": {float64(times.ResPending), 0},
	} {
		if diff := got[0] - got[1]; diff > 0.001 || diff < -0.001 {
			t.Errorf("%s: %v, want %v", name, got[0], got[1])
		}
	}
	if _, empty, err := d.reader.IncidentMetrics(ctx, store.IncidentWindow{From: noon.Add(24 * time.Hour)}); err != nil || empty.AckMean != nil || empty.Rounds != 0 {
		t.Errorf("of nothing: %+v, %v", empty, err)
	}
}

// messages records what is sent.
type messages struct{ sent []string }

func (m *messages) Send(_ context.Context, n approval.Notice) (string, error) {
	if n.Channel != "mail" {
		return "", fault.New(fault.Invalid, "no-such-channel", "no channel is called %q", n.Channel)
	}
	m.sent = append(m.sent, n.Occasion)
	return "ref", nil
}

func (*messages) Repeatable(string) bool { return false }
