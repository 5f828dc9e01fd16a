package export

import (
	"strconv"
	"strings"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/fault"
)

// Selection selects recorded exports; zero fields select all.
type Selection struct {
	Status       Status         `json:"status,omitempty"`
	Dataset      string         `json:"dataset,omitempty"`
	Format       Format         `json:"format,omitempty"`
	Destination  string         `json:"destination,omitempty"`
	Requester    string         `json:"requester,omitempty"` // sub
	Schedule     int64          `json:"schedule_id,omitempty"`
	Delivery     DeliveryStatus `json:"delivery_status,omitempty"`
	Verification Verdict        `json:"verification_status,omitempty"`
	From         time.Time      `json:"from,omitzero"` // created in [From, To)
	To           time.Time      `json:"to,omitzero"`
	IDs          []int64        `json:"ids,omitempty"`
}

// Digest is what the API's command to verify the selected exports is bound to.
func (s Selection) Digest() (string, error) {
	ids := make([]string, 0, len(s.IDs))
	for _, id := range s.IDs {
		ids = append(ids, strconv.FormatInt(id, 10))
	}
	return canonical.Digest("finobs.selection.v1", canonical.Object{
		"status": string(s.Status), "dataset": s.Dataset, "format": string(s.Format), "destination": s.Destination, "requester": s.Requester,
		"schedule": strconv.FormatInt(s.Schedule, 10), "delivery": string(s.Delivery), "verification": string(s.Verification),
		"from": s.From.UTC().Format(time.RFC3339Nano), "to": s.To.UTC().Format(time.RFC3339Nano), "ids": strings.Join(ids, " "),
	})
}

// Redelivery asks to take a sealed export to a destination again. The bytes are
// the same.
type Redelivery struct {
	ExportID    int64  `json:"export_id"`
	Destination string `json:"destination"`
	Reason      string `json:"reason"`
}

// Digest is what the API's command to deliver again is bound to.
func (r Redelivery) Digest() (string, error) {
	return canonical.Digest("finobs.redelivery.v1", canonical.Object{
		"export_id": strconv.FormatInt(r.ExportID, 10), "destination": r.Destination, "reason": r.Reason,
	})
}

// KindRedeliver is the kind of the action that takes a sealed export to another
// destination than the one it was approved for.
const KindRedeliver = approval.KindRedeliver

// RedeliveryAction is the action that a person has to get approved for delivering
// x to another destination.
func RedeliveryAction(x Export, to Destination, requester approval.Person, desk string, mode approval.Mode) approval.Action {
	return approval.Action{
		Kind: KindRedeliver, Requester: requester, Desk: desk, Mode: mode,
		Targets: []approval.Target{
			{Kind: "export", ID: strconv.FormatInt(x.ID, 10), Version: x.Seal.ManifestSHA256},
			{Kind: DestinationTarget, ID: to.Name, Version: to.Digest},
		},
		Parameters: map[string]string{"dataset": x.Dataset, "content_sha256": x.Seal.ContentSHA256},
	}
}

// RedeliveryOf reads back what an approved action delivers where.
func RedeliveryOf(a approval.Action) (Redelivery, error) {
	if a.Kind != KindRedeliver || len(a.Targets) != 2 || a.Targets[0].Kind != "export" || a.Targets[1].Kind != DestinationTarget {
		return Redelivery{}, fault.New(fault.Invalid, "not-a-redelivery", "actions of kind %s deliver nothing", a.Kind)
	}
	id, err := strconv.ParseInt(a.Targets[0].ID, 10, 64)
	if err != nil {
		return Redelivery{}, fault.Wrap(err, fault.Invalid, "not-a-redelivery", "%q is no id of an export", a.Targets[0].ID)
	}
	return Redelivery{ExportID: id, Destination: a.Targets[1].ID}, nil
}

// AllowsRedelivery checks, as a fault of kind Forbidden, that a is exactly the
// delivery of x, with the content that it has, to the named destination.
func AllowsRedelivery(a approval.Action, x Export, destination string) error {
	r, err := RedeliveryOf(a)
	if err != nil || x.Seal == nil || r.ExportID != x.ID || r.Destination != destination ||
		a.Targets[0].Version != x.Seal.ManifestSHA256 || a.Parameters["content_sha256"] != x.Seal.ContentSHA256 {
		return fault.Wrap(err, fault.Forbidden, "redelivery-not-approved", "what was approved is not the delivery of export %d to %s", x.ID, destination)
	}
	return nil
}

// DestinationOf is the destination that an action names; zero when it names none.
func DestinationOf(a approval.Action) Destination {
	for _, t := range a.Targets {
		if t.Kind == DestinationTarget {
			return Destination{t.ID, t.Version}
		}
	}
	return Destination{}
}
