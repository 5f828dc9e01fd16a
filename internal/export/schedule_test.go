package export_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"
)

var (
	granted = time.Date(2026, 11, 25, 8, 30, 0, 0, time.UTC)
	alice   = approval.Person{Issuer: "test", Subject: "alice"}
)

func nightly() export.Schedule {
	return export.Schedule{
		Name: "nightly-incidents", Cron: "0 18 * * 1-5", Zone: "America/New_York", Window: export.SincePrevious, Overlap: export.OverlapBuffer,
		CatchUp: 2 * time.Hour, MaxLateness: 4 * time.Hour, ExpiresAt: granted.AddDate(0, 6, 0), Requester: alice, Desk: "EQ",
		Spec: export.Spec{
			Dataset: export.Incidents, Format: export.CSV, Compression: export.Gzip,
			Destination: export.Destination{Name: "regulator", Digest: "sha256:ab"}, Filters: map[string]string{"origin": "live", "desk": "EQ"},
		},
	}
}

// A schedule and its action are one-to-one: what runs is what was approved.
func TestScheduleIsItsAction(t *testing.T) {
	for name, change := range map[string]func(*export.Schedule){
		"as it is":     func(*export.Schedule) {},
		"a change":     func(s *export.Schedule) { s.ID, s.Version = 7, 3 },
		"name":         func(s *export.Schedule) { s.Name = "weekly" },
		"cron":         func(s *export.Schedule) { s.Cron = "0 19 * * 1-5" },
		"cron's blank": func(s *export.Schedule) { s.Cron = "0  18 * * 1-5" },
		"zone":         func(s *export.Schedule) { s.Zone = "Europe/London" },
		"window":       func(s *export.Schedule) { s.Window = export.NoWindow },
		"overlap":      func(s *export.Schedule) { s.Overlap = export.OverlapAllow },
		"catch-up":     func(s *export.Schedule) { s.CatchUp = time.Hour },
		"lateness":     func(s *export.Schedule) { s.MaxLateness = time.Hour },
		"expiry":       func(s *export.Schedule) { s.ExpiresAt = s.ExpiresAt.Add(time.Second) },
		"format":       func(s *export.Schedule) { s.Spec.Format = export.NDJSON },
		"compression":  func(s *export.Schedule) { s.Spec.Compression = export.Plain },
		"dataset":      func(s *export.Schedule) { s.Spec.Dataset, s.Spec.Filters = export.Audit, map[string]string{} },
		"destination":  func(s *export.Schedule) { s.Spec.Destination.Name = "other" },
		"its digest":   func(s *export.Schedule) { s.Spec.Destination.Digest = "sha256:cd" },
		"filter":       func(s *export.Schedule) { s.Spec.Filters["desk"] = "FX" },
		"one filter":   func(s *export.Schedule) { delete(s.Spec.Filters, "desk") },
		"simulation":   func(s *export.Schedule) { s.Simulation = true },
	} {
		s := nightly()
		s.Spec.Filters = map[string]string{"origin": "live", "desk": "EQ"}
		change(&s)
		action := actionOf(s)
		back, err := export.ScheduleOf(action)
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%s: read back %+v, %v", name, back, err)
		}
		digest, err := action.Digest()
		if err != nil {
			t.Fatal(err)
		}
		plain, err := actionOf(nightly()).Digest()
		if err != nil {
			t.Fatal(err)
		}
		if (digest == plain) != (name == "as it is") {
			t.Errorf("%s: the digest does not tell the schedules apart", name)
		}
		if action.Dataset() != s.Spec.Dataset.Name {
			t.Errorf("%s: policies see dataset %q", name, action.Dataset())
		}
	}
}

func actionOf(s export.Schedule) approval.Action {
	mode := approval.Live
	if s.Simulation {
		mode = approval.Simulation
	}
	return s.Action(s.Requester, s.Desk, mode)
}

func TestScheduleOfRefuses(t *testing.T) {
	for name, change := range map[string]func(*approval.Action){
		"another kind":         func(a *approval.Action) { a.Kind = "schedule.run" },
		"one export":           func(a *approval.Action) { a.Kind = "export.incidents" },
		"no dataset":           func(a *approval.Action) { delete(a.Parameters, "dataset") },
		"another dataset":      func(a *approval.Action) { a.Parameters["dataset"] = "audit" },
		"an older dataset":     func(a *approval.Action) { a.Targets[1].Version = "1" },
		"no destination":       func(a *approval.Action) { a.Targets = a.Targets[:2] },
		"a further target":     func(a *approval.Action) { a.Targets = append(a.Targets, a.Targets[2]) },
		"another name":         func(a *approval.Action) { a.Targets[0].ID = "other" },
		"a version":            func(a *approval.Action) { a.Targets[0].Version = "1" },
		"a change by name":     func(a *approval.Action) { a.Kind = export.KindScheduleChange },
		"a further parameter":  func(a *approval.Action) { a.Parameters["recipients"] = "mallory" },
		"an unknown filter":    func(a *approval.Action) { a.Parameters["filter_x"] = "1" },
		"an unprefixed filter": func(a *approval.Action) { a.Parameters["desk"] = "FX" },
		"no cron":              func(a *approval.Action) { delete(a.Parameters, "cron") },
		"no catch-up":          func(a *approval.Action) { delete(a.Parameters, "catch_up") },
		"catch-up in words":    func(a *approval.Action) { a.Parameters["catch_up"] = "120m" },
		"no lateness":          func(a *approval.Action) { delete(a.Parameters, "max_lateness") },
		"expiry elsewhere":     func(a *approval.Action) { a.Parameters["expires_at"] = "2027-05-25T10:30:00+02:00" },
		"expiry never":         func(a *approval.Action) { delete(a.Parameters, "expires_at") },
		"a window of its own":  func(a *approval.Action) { a.Parameters["filter_from"] = "2026-01-01T00:00:00Z" },
	} {
		a := actionOf(nightly())
		change(&a)
		if s, err := export.ScheduleOf(a); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: read as %+v, %v", name, s, err)
		}
	}
}

func TestScheduleLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*export.Schedule)
		want   string // in the refusal; "": none
	}{
		"as it is":              {func(*export.Schedule) {}, ""},
		"a year":                {func(s *export.Schedule) { s.ExpiresAt = granted.AddDate(1, 0, 0) }, ""},
		"over a year":           {func(s *export.Schedule) { s.ExpiresAt = granted.AddDate(1, 0, 2) }, "more than a year"},
		"past":                  {func(s *export.Schedule) { s.ExpiresAt = granted }, "is past"},
		"ends before it begins": {func(s *export.Schedule) { s.ExpiresAt = granted.Add(time.Hour) }, "never falls due before"},
		"fractions":             {func(s *export.Schedule) { s.ExpiresAt = s.ExpiresAt.Add(time.Millisecond) }, "to the second"},
		"no catch-up":           {func(s *export.Schedule) { s.CatchUp = 0 }, "catch_up"},
		"catch-up of a month":   {func(s *export.Schedule) { s.CatchUp = 30 * 24 * time.Hour }, "catch_up"},
		"no lateness":           {func(s *export.Schedule) { s.MaxLateness = 0 }, "max_lateness"},
		"30 February":           {func(s *export.Schedule) { s.Cron = "0 0 30 2 *" }, "never falls due"},
		"each second":           {func(s *export.Schedule) { s.Cron = "* * * * * *" }, "6 fields"},
		"no zone":               {func(s *export.Schedule) { s.Zone = "" }, "time zone"},
		"a number as name":      {func(s *export.Schedule) { s.Name = "42" }, "name"},
		"no name":               {func(s *export.Schedule) { s.Name = "" }, "name"},
		"a long name":           {func(s *export.Schedule) { s.Name = strings.Repeat("a", 65) }, "name"},
		"no window":             {func(s *export.Schedule) { s.Window = "" }, "window"},
		"no overlap":            {func(s *export.Schedule) { s.Overlap = "terminate" }, "overlap"},
		"two windows":           {func(s *export.Schedule) { s.Spec.Filters = map[string]string{"to": "2026-11-25T00:00:00Z"} }, "leave them out"},
		"a fixed window": {func(s *export.Schedule) {
			s.Window, s.Spec.Filters = export.NoWindow, map[string]string{"to": "2026-11-25T00:00:00Z"}
		}, ""},
		"no format": {func(s *export.Schedule) { s.Spec.Format = "xml" }, "format"},
	} {
		s := nightly()
		tc.change(&s)
		err := s.ValidateAt(granted)
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: got %v, want %q in it", name, err, tc.want)
		}
	}
}

// Each dataset has a window, by the moment at which its rows were recorded.
func TestEachDatasetHasAWindow(t *testing.T) {
	slot := time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC) // Monday 18:00 in New York
	want := map[string][2]string{
		"incidents": {"from", "to"}, "transactions": {"created_from", "created_to"}, "users": {"updated_from", "updated_to"},
		"compliance_logs": {"from", "to"}, "audit": {"from", "to"},
	}
	for _, d := range export.Datasets() {
		s := nightly()
		s.Spec.Dataset, s.Spec.Filters = d, map[string]string{}
		got, err := s.SlotFilters(slot)
		names := want[d.Name]
		if err != nil || len(got) != 2 || got[names[0]] != "2026-11-27T23:00:00Z" || got[names[1]] != "2026-11-30T23:00:00Z" {
			t.Errorf("%s: got %v, %v", d.Name, got, err)
		}
		s.Spec.Filters = got
		if err := s.Spec.Validate(); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
}

// Across a change of clocks no row falls between two windows, and none in both.
func TestWindowsMeet(t *testing.T) {
	s := nightly()
	s.Cron = "30 1 * * *"
	slots := s.Slots(time.Date(2027, 10, 30, 0, 0, 0, 0, time.UTC), time.Date(2027, 11, 10, 0, 0, 0, 0, time.UTC), 100)
	if len(slots) != 12 { // eleven days, one of them with 1:30 twice
		t.Fatalf("got %d slots: %v", len(slots), slots)
	}
	last := ""
	for _, slot := range slots {
		f, err := s.SlotFilters(slot)
		if err != nil || last != "" && f["from"] != last {
			t.Fatalf("%s begins at %s, not at %s: %v", slot, f["from"], last, err)
		}
		last = f["to"]
	}
}

func slotExport(t *testing.T, s export.Schedule, r approval.Request) export.Export {
	t.Helper()
	slot := time.Date(2026, 11, 25, 23, 0, 0, 0, time.UTC)
	filters, err := s.SlotFilters(slot)
	if err != nil {
		t.Fatal(err)
	}
	return export.Export{
		ID: 9, ApprovalID: r.ID, ActionDigest: r.ActionDigest, ScheduleID: 7, Slot: &slot, Dataset: "incidents",
		DatasetVersion: export.Incidents.Version, Format: export.CSV, Compression: export.Gzip, Destination: "regulator", Filters: filters,
		Columns: export.Incidents.ColumnNames(), Requester: alice, Desk: "EQ", CreatedAt: slot.Add(time.Minute),
	}
}

func TestSlotCarriesOutGrant(t *testing.T) {
	action := actionOf(nightly())
	r := approval.Request{ID: 42, ActionDigest: "d", Requester: alice, CreatedAt: granted}
	at := func(slot time.Time) func(*export.Export) {
		return func(x *export.Export) { x.Slot, x.CreatedAt = &slot, slot }
	}
	for name, tc := range map[string]struct {
		change func(*export.Export)
		want   string // "": authorised
	}{
		"a slot":              {func(*export.Export) {}, ""},
		"of a manifest":       {func(x *export.Export) { x.CreatedAt = time.Time{} }, ""},
		"no slot":             {func(x *export.Export) { x.Slot = nil }, "is of no schedule"},
		"not the cron's":      {at(time.Date(2026, 11, 25, 23, 0, 1, 0, time.UTC)), "no slot"},
		"a Saturday":          {at(time.Date(2026, 11, 28, 23, 0, 0, 0, time.UTC)), "no slot"},
		"before the grant":    {at(time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC)), "no slot"},
		"after the grant":     {at(time.Date(2027, 5, 25, 22, 0, 0, 0, time.UTC)), "no slot"},
		"begun early":         {func(x *export.Export) { x.CreatedAt = x.Slot.Add(-time.Second) }, "before its slot"},
		"begun after the end": {func(x *export.Export) { x.CreatedAt = nightly().ExpiresAt.Add(time.Second) }, "after the grant"},
		"window of another":   {func(x *export.Export) { x.Filters["from"] = "2020-01-01T00:00:00Z" }, "not the export"},
		"no window":           {func(x *export.Export) { delete(x.Filters, "from") }, "not the export"},
		"a filter dropped":    {func(x *export.Export) { delete(x.Filters, "desk") }, "not the export"},
		"another approval":    {func(x *export.Export) { x.ApprovalID = 41 }, "another approval"},
		"another digest":      {func(x *export.Export) { x.ActionDigest = "e" }, "another approval"},
		"another requester":   {func(x *export.Export) { x.Requester.Subject = "bob" }, "somebody else"},
		"another desk":        {func(x *export.Export) { x.Desk = "FX" }, "somebody else"},
		"another mode":        {func(x *export.Export) { x.Simulation = true }, "somebody else"},
		"another format":      {func(x *export.Export) { x.Format = export.NDJSON }, "not the export"},
		"another destination": {func(x *export.Export) { x.Destination = "download" }, "not the export"},
		"another dataset":     {func(x *export.Export) { x.Dataset = "audit" }, "not the export"},
		"fewer columns":       {func(x *export.Export) { x.Columns = x.Columns[1:] }, "other columns"},
	} {
		x := slotExport(t, nightly(), r)
		tc.change(&x)
		err := x.AuthorisedBy(r, action)
		if name == "no slot" {
			err = x.CarriesOutGrant(r, action)
		}
		switch {
		case tc.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.want != "" && (!errors.Is(err, export.ErrMismatch) || !strings.Contains(err.Error(), tc.want)):
			t.Errorf("%s: got %v, want %q in it", name, err, tc.want)
		}
	}
}

// An approval of one export releases no schedule, that of a schedule no single
// export, and that of a change no other schedule.
func TestGrantsAreNotSwapped(t *testing.T) {
	s := nightly()
	r := approval.Request{ID: 42, ActionDigest: "d", Requester: alice, CreatedAt: granted}
	x := slotExport(t, s, r)
	one := s.Spec.Action(alice, "EQ", approval.Live)
	if err := x.AuthorisedBy(r, one); !errors.Is(err, export.ErrMismatch) {
		t.Errorf("the approval of one export released a slot: %v", err)
	}
	s.ID, s.Version = 8, 1
	if err := x.AuthorisedBy(r, actionOf(s)); !errors.Is(err, export.ErrMismatch) {
		t.Errorf("a change of schedule 8 released a slot of schedule 7: %v", err)
	}
	x.ScheduleID, x.Slot = 0, nil
	if err := x.AuthorisedBy(r, actionOf(nightly())); !errors.Is(err, export.ErrMismatch) {
		t.Errorf("a schedule released a single export: %v", err)
	}
}
