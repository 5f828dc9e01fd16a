package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"finobs/internal/intake"
	"finobs/samples"

	"github.com/google/uuid"
)

// morning is what one telling of the desk's morning knows. Its names are of this
// telling, so that the story holds again on the stack that an earlier one left.
type morning struct {
	tag      string
	incident string // that somebody works
	before   morningMetrics
}

type morningMetrics struct {
	Acknowledge, Resolve morningTimes
}

type morningTimes struct {
	N    int64    `json:"n"`
	Mean *float64 `json:"mean"`
}

func (d *demo) morningSteps() []storyStep {
	m := &d.morning
	m.tag = strings.ToUpper(uuid.NewString()[:8])
	return []storyStep{
		{"the night's drop copy comes in", "a FIX log becomes trades, rejects, a gap and a lost session", d.dropCopy},
		{"the broker's file comes in", "somebody else's columns are read by a profile", d.brokerFile},
		{"the two are reconciled", "breaks are found and classified from general rules, inside Postgres", d.reconcileBooks},
		{"detectors look", "breaks and bursts of rejects become incidents, each once", d.detectNow},
		{"97 notices that nobody reads, each sent twice", "they fold into one incident, which climbs until a person acknowledges it", d.ignoredNotices},
		{"a system's heart stops", "silence is an outage", d.deadHeart},
		{"bob takes the lost session: acknowledges, comments, resolves, closes", "escalation stops when a person says so, and everything is on record", d.workIncident},
		{"the figures move", "times to acknowledge and to resolve are measured, and what waits for whom is one list", d.figures},
	}
}

// tradeDay is the day of the shipped trades.
const tradeDay = "2026-06-12"

func (d *demo) dropCopy(ctx context.Context) (string, error) {
	if err := d.readMetrics(ctx, &d.morning.before); err != nil {
		return "", err
	}
	log, err := dropCopyLog(d.morning.tag)
	if err != nil {
		return "", err
	}
	path := d.stack.Path("dropcopy.log")
	if err := os.WriteFile(path, log, 0o600); err != nil {
		return "", fmt.Errorf("writing sample: %w", err)
	}
	a, err := d.people["alice"].importFile(ctx, path, "/ingest/dropcopy", "application/octet-stream", url.Values{"origin": {"demo"}})
	if err != nil {
		return "", err
	}
	var v struct{ Report intake.FIXReport }
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return "", fmt.Errorf("reading the API's answer: %w", err)
	}
	r := v.Report
	if r.BadTrades+r.BadMessages > 0 || r.Trades == 0 || r.EventsAdded == 0 || r.IncidentsOpened != 2 || r.GapsUnfilled != 1 {
		return "", fmt.Errorf("the log was read otherwise than expected: %s", a.Body)
	}
	return fmt.Sprintf("%d messages; %d fills (%d new trades, %d on record); %d events; %d incidents: a gap and a lost session",
		r.Messages, r.Trades, r.Changes.Added, r.Changes.Unchanged, r.EventsAdded, r.IncidentsOpened), nil
}

func (d *demo) brokerFile(ctx context.Context) (string, error) {
	path := d.stack.Path("broker_trades.csv")
	text, err := samples.Recon.ReadFile("recon/oms_vs_broker/broker_trades.csv")
	if err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("writing sample: %w", err)
	}
	query := url.Values{"origin": {"demo"}, "source": {"broker"}, "profile": {"oms-vs-broker"}, "side": {"right"}}
	a, err := d.people["alice"].importFile(ctx, path, "/ingest/trades", "text/csv", query)
	if err != nil {
		return "", err
	}
	var v struct {
		Repeated bool
		Report   intake.TransactionReport
	}
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return "", fmt.Errorf("reading the API's answer: %w", err)
	}
	if v.Report.Rows == 0 || v.Report.BadLines > 0 {
		return "", fmt.Errorf("the file was read otherwise than expected: %s", a.Body)
	}
	if v.Repeated {
		return fmt.Sprintf("%d trades, all on record from an earlier telling", v.Report.Rows), nil
	}
	return fmt.Sprintf("%d trades, %d new", v.Report.Rows, v.Report.Changes.Added), nil
}

func (d *demo) reconcileBooks(ctx context.Context) (string, error) {
	run, err := d.people["alice"].reconcile(ctx, nil, reconOptions{
		profile: "dropcopy-vs-broker", from: tradeDay, to: tradeDay, origin: "demo", idempotency: d.morning.tag,
	})
	if err != nil {
		return "", err
	}
	var words []string
	for _, kind := range []string{"missing_left", "missing_right", "quantity", "price", "fee", "side", "symbol", "settlement_date", "duplicate_right"} {
		n := 0
		for t, c := range run.Report.ByType {
			if string(t) == kind {
				n = c.Count
			}
		}
		if n == 0 {
			return "", fmt.Errorf("no break of type %s was found: %s", kind, run.raw)
		}
		words = append(words, fmt.Sprintf("%d %s", n, strings.ReplaceAll(kind, "_", " ")))
	}
	return fmt.Sprintf("%d breaks: %s", run.Report.Breaks, strings.Join(words, ", ")), nil
}

func (d *demo) detectNow(ctx context.Context) (string, error) {
	for _, name := range []string{"trade_breaks", "reject_bursts"} { // they are due by themselves as well
		err := d.until(ctx, "detector "+name+" has looked", func() (bool, error) {
			a, err := d.expect(ctx, "alice", http.MethodPost, "/detectors/"+name+"/run", "", 0)
			return a.Status == http.StatusOK, err
		})
		if err != nil {
			return "", err
		}
	}
	breaks, err := d.incidents(ctx, "kind=trade_break")
	if err != nil {
		return "", err
	}
	burst, err := d.incidents(ctx, "system=VENUE"+d.morning.tag)
	if err != nil {
		return "", err
	}
	if len(breaks) == 0 || len(burst) != 1 {
		return "", fmt.Errorf("there are %d incidents about breaks, and %d about the burst of rejects", len(breaks), len(burst))
	}
	return fmt.Sprintf("%d incidents about breaks, such as %q; one about rejects: %q", len(breaks), breaks[0].Title, burst[0].Title), nil
}

// ignored is how many mails reached Knight Capital's people before the open of
// 1 August 2012, and were not read as alarms (SEC release 34-70694).
const ignored = 97

func (d *demo) ignoredNotices(ctx context.Context) (string, error) {
	system := "SMARS-" + d.morning.tag
	var alerts []string
	for i := range ignored {
		alerts = append(alerts, fmt.Sprintf(`{"status":"firing","labels":{"alertname":"PowerPegDisabled","severity":"info","instance":%q,"order":"%d"},
			"annotations":{"summary":"SMARS: Power Peg disabled"},"startsAt":%q,"endsAt":"0001-01-01T00:00:00Z"}`,
			system, i, time.Now().Add(-time.Hour+time.Duration(i)*time.Second).UTC().Format(time.RFC3339)))
	}
	body := `{"version":"4","status":"firing","receiver":"desk","groupKey":"x","alerts":[` + strings.Join(alerts, ",") + `]}`
	first, err := d.expect(ctx, "alice", http.MethodPost, "/ingest/alertmanager?origin=demo", body, http.StatusOK)
	if err != nil {
		return "", err
	}
	again, err := d.expect(ctx, "alice", http.MethodPost, "/ingest/alertmanager?origin=demo", body, http.StatusOK)
	if err != nil {
		return "", err
	}
	list, err := d.incidents(ctx, "system="+system)
	if err != nil {
		return "", err
	}
	if len(list) != 1 || list[0].Occurrences != ignored || list[0].Severity != "critical" {
		return "", fmt.Errorf("the notices are %+v", list)
	}
	return fmt.Sprintf("%s new, then %s repeated; one incident of %d occurrences, severity %s, status %s",
		first.field("events"), again.field("repeated"), list[0].Occurrences, list[0].Severity, list[0].Status), nil
}

func (d *demo) deadHeart(ctx context.Context) (string, error) {
	system := "gateway-" + d.morning.tag
	_, err := d.expect(ctx, "alice", http.MethodPost, "/ingest/heartbeat?origin=demo", fmt.Sprintf(`{"system":%q,"interval_seconds":1}`, system), http.StatusOK)
	if err != nil {
		return "", err
	}
	var found []storyIncident
	err = d.until(ctx, "the silence is noticed", func() (bool, error) {
		if _, err := d.expect(ctx, "alice", http.MethodPost, "/detectors/silent_systems/run", "", 0); err != nil {
			return false, err
		}
		found, err = d.incidents(ctx, "system="+system)
		return len(found) == 1, err
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("incident %d: %s", found[0].ID, found[0].Title), nil
}

func (d *demo) workIncident(ctx context.Context) (string, error) {
	list, err := d.incidents(ctx, "kind=system_outage&status=open")
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(list, func(i storyIncident) bool {
		return strings.Contains(i.Title, "VENUE"+d.morning.tag) && strings.Contains(i.Title, "disconnected")
	})
	if at < 0 {
		return "", errors.New("there is no incident about the lost session")
	}
	d.morning.incident = strconv.FormatInt(list[at].ID, 10)
	for _, act := range []struct{ verb, body string }{
		{"acknowledge", `{"note":"calling the venue"}`},
		{"comment", `{"text":"the venue's gateway was restarted; their desk confirms"}`},
		{"resolve", `{"resolution":"the venue restarted its gateway; the session is back"}`},
		{"close", `{}`},
	} {
		if _, err := d.expect(ctx, "bob", http.MethodPost, "/incidents/"+d.morning.incident+"/"+act.verb, act.body, 0); err != nil {
			return "", err
		}
	}
	err = d.until(ctx, "the incident is closed", func() (bool, error) {
		a, err := d.expect(ctx, "bob", http.MethodGet, "/incidents/"+d.morning.incident, "", http.StatusOK)
		return a.field("status") == "closed", err
	})
	if err != nil {
		return "", err
	}
	entries, err := d.entries(ctx, "/incidents/"+d.morning.incident)
	if err != nil {
		return "", err
	}
	var words []string
	for _, e := range entries {
		words = append(words, strings.TrimPrefix(e.Type, "incident."))
	}
	return fmt.Sprintf("incident %s: %s", d.morning.incident, strings.Join(words, ", ")), nil
}

func (d *demo) figures(ctx context.Context) (string, error) {
	var after morningMetrics
	if err := d.readMetrics(ctx, &after); err != nil {
		return "", err
	}
	before := d.morning.before
	if after.Acknowledge.N != before.Acknowledge.N+1 || after.Resolve.N <= before.Resolve.N || after.Acknowledge.Mean == nil {
		return "", fmt.Errorf("the figures went from %+v to %+v", before, after)
	}
	tasks, err := d.expect(ctx, "bob", http.MethodGet, "/api/tasks/count", "", http.StatusOK)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("acknowledged: %d, then %d, %.1f s on average; resolved: %d, then %d; %s things wait for bob",
		before.Acknowledge.N, after.Acknowledge.N, *after.Acknowledge.Mean, before.Resolve.N, after.Resolve.N, tasks.field("total")), nil
}

func (d *demo) readMetrics(ctx context.Context, into *morningMetrics) error {
	a, err := d.expect(ctx, "bob", http.MethodGet, "/incidents/metrics?origin=demo", "", http.StatusOK)
	if err != nil {
		return err
	}
	var v struct {
		Acknowledge morningTimes `json:"time_to_acknowledge_seconds"`
		Resolve     morningTimes `json:"time_to_resolve_seconds"`
	}
	if err := json.Unmarshal(a.Body, &v); err != nil {
		return fmt.Errorf("reading metrics: %w", err)
	}
	into.Acknowledge, into.Resolve = v.Acknowledge, v.Resolve
	return nil
}

type storyIncident struct {
	ID          int64 `json:"incident_id"`
	Title       string
	Severity    string
	Status      string
	Occurrences int64
}

func (d *demo) incidents(ctx context.Context, filter string) ([]storyIncident, error) {
	a, err := d.expect(ctx, "bob", http.MethodGet, "/incidents?origin=demo&limit=500&"+filter, "", http.StatusOK)
	if err != nil {
		return nil, err
	}
	var page struct{ Items []storyIncident }
	if err := json.Unmarshal(a.Body, &page); err != nil {
		return nil, fmt.Errorf("reading incidents: %w", err)
	}
	return page.Items, nil
}
