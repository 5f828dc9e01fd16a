package activities

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/deskfile"
	"finobs/internal/failpoint"
	"finobs/internal/incident"
	"finobs/internal/ledger"

	"github.com/google/uuid"
)

// LifeTx is what the life of an incident needs of a transaction.
type LifeTx interface {
	Recorder
	Now() time.Time
	Desk() *deskfile.Desk
	LockIncident(ctx context.Context, id int64) (incident.Incident, error)
	SaveIncident(ctx context.Context, i incident.Incident) error
	BeginLook(ctx context.Context, id int64, firstRun string) error
	NudgeLife(ctx context.Context, id int64) error
	WindowsNow(ctx context.Context) ([]incident.Window, error)
	FiredIncidentRungs(ctx context.Context, id int64) (map[string]bool, error)
	FireIncidentRung(ctx context.Context, id int64, name, kind string) (bool, error)
	Roster(ctx context.Context) (approval.Roster, error)
	InsertNotice(ctx context.Context, n approval.Notice) error
}

// Lives are the activities that move incidents on.
type Lives struct {
	InTx Transaction[LifeTx]
}

// LifeRef names an incident to the activity that moves it on.
type LifeRef struct {
	FirstRun   string `json:"first_run"`
	IncidentID int64  `json:"incident_id"`
}

// LifeStatus is where an incident stands.
type LifeStatus struct {
	Status incident.Status `json:"status"`
	Kind   incident.Kind   `json:"kind"`
	Desk   string          `json:"desk"`
	Words  string          `json:"words"`             // for people who look at the workflow
	WakeIn time.Duration   `json:"wake_in,omitempty"` // until something is due; 0: nothing is, by itself
}

// AdvanceIncident does what is due on an incident by the database's clock: it
// fires the rungs of the ladder whose time has come, unless somebody has
// acknowledged it or a window of maintenance holds, and those for an incident that
// is not resolved in time; and it closes one that stayed resolved. It changes
// nothing when nothing is due. The incident's lock is held all the while, so that
// an acknowledgement comes before a rung or after it.
func (x *Lives) AdvanceIncident(ctx context.Context, in LifeRef) (LifeStatus, error) {
	var out LifeStatus
	err := x.InTx(ctx, func(tx LifeTx) error {
		i, err := tx.LockIncident(ctx, in.IncidentID)
		if err != nil {
			return err
		}
		if err := tx.BeginLook(ctx, i.ID, in.FirstRun); err != nil {
			return err
		}
		l := look{tx: tx, in: in, i: &i}
		var next time.Time
		switch {
		case i.Status == incident.Resolved:
			next, err = l.closeLater(ctx)
		case i.Status.Active():
			next, err = l.climb(ctx)
		}
		if err != nil {
			return err
		}
		out = LifeStatus{Status: i.Status, Kind: i.Kind, Desk: i.Desk, Words: lifeWords(i, next)}
		if !next.IsZero() {
			out.WakeIn = max(next.Sub(tx.Now()), time.Millisecond)
		}
		return nil
	})
	failpoint.Hit("life.after-advance")
	return out, temporalError(err)
}

// look is one look at an incident, in its transaction.
type look struct {
	tx LifeTx
	in LifeRef
	i  *incident.Incident
}

// closeLater closes an incident that has been resolved for long enough, or says
// when it will have been.
func (l look) closeLater(ctx context.Context) (time.Time, error) {
	at := l.i.ResolvedAt.Add(l.tx.Desk().CloseAfter())
	if at.After(l.tx.Now()) {
		return at, nil
	}
	l.i.CloseItself(l.tx.Now())
	if err := l.tx.SaveIncident(ctx, *l.i); err != nil {
		return time.Time{}, err
	}
	return time.Time{}, l.append(ctx, "close-incident", strconv.Itoa(l.i.Reopened), "incident.closed", "close", "done", canonical.Object{
		"resolved_at": ledger.FormatTime(l.i.ResolvedAt),
	})
}

// climb fires what is due and says when the next rung is.
func (l look) climb(ctx context.Context) (time.Time, error) {
	windows, err := l.tx.WindowsNow(ctx)
	if err != nil {
		return time.Time{}, err
	}
	was := l.i.SuppressedUntil
	if l.i.Suppress(l.tx.Desk(), windows, l.tx.Now()) {
		l.i.Nudge = false // this is the look
		if err := l.tx.SaveIncident(ctx, *l.i); err != nil {
			return time.Time{}, err
		}
		if err := l.tellSuppressed(ctx, was); err != nil {
			return time.Time{}, err
		}
	}
	if !l.i.SuppressedUntil.IsZero() {
		return l.i.SuppressedUntil, nil
	}
	fired, err := l.tx.FiredIncidentRungs(ctx, l.i.ID)
	if err != nil {
		return time.Time{}, err
	}
	due, next := l.tx.Desk().Due(*l.i, fired, l.tx.Now())
	for _, rung := range due {
		if err := l.fire(ctx, rung); err != nil {
			return time.Time{}, err
		}
	}
	return next, nil
}

func (l look) tellSuppressed(ctx context.Context, was time.Time) error {
	until, action, outcome := l.i.SuppressedUntil, "suppress", "suppressed"
	if until.IsZero() {
		action, outcome = "unsuppress", "pages again"
	}
	details := canonical.Object{}
	for name, t := range map[string]time.Time{"until": until, "until_was": was} {
		if !t.IsZero() {
			details[name] = ledger.FormatTime(t)
		}
	}
	ordinal := fmt.Sprintf("%d %s %s", l.i.LadderRun, ledger.FormatTime(was), ledger.FormatTime(until))
	return l.append(ctx, "suppress-incident", ordinal, "incident."+action+"ed", action, outcome, details)
}

// rungEntries name what a rung does in the record and to people.
var rungEntries = map[deskfile.RungKind]struct {
	typ  string
	kind approval.NoticeKind
}{
	deskfile.Reminder:   {"incident.reminded", approval.NoticeIncident},
	deskfile.Escalation: {"incident.escalated", approval.NoticeIncidentEscalated},
	deskfile.Overdue:    {"incident.overdue", approval.NoticeIncidentOverdue},
}

// fire fires a rung unless it has fired: an entry, a higher level for an
// escalation, and a notice to those whom the rung names.
func (l look) fire(ctx context.Context, rung deskfile.Rung) error {
	first, err := l.tx.FireIncidentRung(ctx, l.i.ID, rung.Name, string(rung.Kind))
	if err != nil || !first {
		return err
	}
	if rung.Kind == deskfile.Escalation && !rung.Again {
		l.i.EscalationLevel++
		l.i.Nudge = false
		if err := l.tx.SaveIncident(ctx, *l.i); err != nil {
			return err
		}
	}
	roster, err := l.tx.Roster(ctx)
	if err != nil {
		return err
	}
	to := rung.Told(*l.i, roster)
	entry := rungEntries[rung.Kind]
	err = l.append(ctx, "fire-incident-rung", rung.Name, entry.typ, string(rung.Kind), "fired", canonical.Object{
		"rung": rung.Name, "channel": rung.Channel, "to": namesOf(to), "label": rung.Label, "severity": string(l.i.Severity),
		"occurrences": strconv.FormatInt(l.i.Occurrences, 10), "desk_file": l.tx.Desk().Digest,
	})
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("making notification id: %w", err)
	}
	n := approval.Notice{
		ID: id.String(), IncidentID: l.i.ID, Occasion: rung.Name, Kind: entry.kind, Channel: rung.Channel,
		Subject: incidentNoticeSubject(entry.kind, *l.i), Body: incidentNoticeBody(*l.i), WhilePending: true, TraceID: l.i.TraceID,
	}
	for _, m := range to {
		n.Recipients = append(n.Recipients, approval.Recipient{Person: m.Person, Email: m.Email})
	}
	return l.tx.InsertNotice(ctx, n)
}

// append records what the life of an incident does. The ordinal tells the turns
// of a step apart.
func (l look) append(ctx context.Context, step, ordinal, typ, action, outcome string, details canonical.Object) error {
	_, err := l.tx.Append(ctx, stepOf(ctx, l.in.FirstRun, step, strconv.FormatInt(l.i.ID, 10)+" "+ordinal), ledger.Entry{
		Type: typ, Actor: ledger.Itself("worker"), Subject: incidentSubject(l.i.ID), Action: action, Outcome: outcome,
		Desk: l.i.Desk, TraceID: l.i.TraceID, Details: details,
	})
	return err
}

func incidentNoticeSubject(kind approval.NoticeKind, i incident.Incident) string {
	what := fmt.Sprintf("incident %d (%s) %s", i.ID, i.Severity, approval.Printable(i.Title))
	switch kind {
	case approval.NoticeIncidentEscalated:
		return "Escalated: nobody has acknowledged " + what
	case approval.NoticeIncidentOverdue:
		return "Overdue: " + what
	default:
		return "Please acknowledge " + what
	}
}

// incidentNoticeBody shows where an incident stands. What it says of itself came
// from outside: each line of it stays a line.
func incidentNoticeBody(i incident.Incident) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Incident %d is %s: %s, %s.\n\n%s\n", i.ID, i.Status, i.Severity, i.Priority, approval.Printable(i.Title))
	for _, line := range strings.Split(i.Description, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			fmt.Fprintf(&b, "  %s\n", approval.Printable(line))
		}
	}
	fmt.Fprintf(&b, "\nKind: %s\nDesk: %s\nSystem: %s\nReported: %d times, since %s\n", i.Kind, approval.Printable(i.Desk),
		approval.Printable(i.System), i.Occurrences, i.OpenedAt.UTC().Format(time.RFC3339))
	if i.ExposureUSD.Valid {
		fmt.Fprintf(&b, "Exposure: %s USD\n", i.ExposureUSD.Decimal)
	}
	for _, t := range []struct {
		what string
		at   time.Time
	}{{"To be acknowledged", i.AckDueAt}, {"To be resolved", i.ResolveDueAt}} {
		if !t.at.IsZero() {
			fmt.Fprintf(&b, "%s by: %s\n", t.what, t.at.UTC().Format(time.RFC3339))
		}
	}
	if i.Status == incident.Acknowledged {
		fmt.Fprintf(&b, "Acknowledged by: %s\n", approval.Printable(i.AcknowledgedBy.Subject))
	}
	return b.String()
}

// lifeWords say in the Temporal Web UI what is waited for.
func lifeWords(i incident.Incident, next time.Time) string {
	var what string
	switch {
	case i.MergedInto != 0:
		return fmt.Sprintf("Incident %d was merged into **%d**.", i.ID, i.MergedInto)
	case i.Status == incident.Closed:
		return fmt.Sprintf("Incident %d is **closed**.", i.ID)
	case i.Status == incident.Resolved:
		what = "is **resolved** and will be closed"
	case !i.SuppressedUntil.IsZero():
		what = "pages nobody while a window of maintenance holds"
	case i.Status == incident.Acknowledged:
		what = "is **acknowledged** by " + approval.Printable(i.AcknowledgedBy.Subject)
	default:
		what = fmt.Sprintf("waits for somebody to acknowledge it, at level %d", i.EscalationLevel)
	}
	words := fmt.Sprintf("Incident %d (%s, reported %d times) %s.", i.ID, i.Severity, i.Occurrences, what)
	if !next.IsZero() {
		words += fmt.Sprintf(" Something is due at %s.", next.UTC().Format(time.RFC3339))
	}
	return words
}

// RestartLife has another life begin for an incident whose workflow ended
// otherwise than by its own code. It is no activity: no workflow is left to run it.
func (x *Lives) RestartLife(ctx context.Context, namespace, workflowID string, id int64, endedRun, how string) (changed bool, err error) {
	ctx = context.WithValue(ctx, repairKey{}, ledger.Workflow{Namespace: namespace, ID: workflowID, FirstRun: endedRun})
	err = x.InTx(ctx, func(tx LifeTx) error {
		i, err := tx.LockIncident(ctx, id)
		if err != nil || i.Status == incident.Closed {
			return err
		}
		changed = true
		if err := tx.NudgeLife(ctx, id); err != nil {
			return err
		}
		_, err = tx.Append(ctx, stepOf(ctx, endedRun, "restart-life", strconv.FormatInt(id, 10)), ledger.Entry{
			Type: "incident.life_restarted", Actor: ledger.Itself("reconciler"), Subject: incidentSubject(id), Action: "restart", Outcome: "done",
			Reason: "its workflow " + how, Desk: i.Desk, TraceID: i.TraceID, Details: canonical.Object{"status": string(i.Status), "run_id": endedRun},
		})
		return err
	})
	return changed && err == nil, err
}
