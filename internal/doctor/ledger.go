package doctor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
)

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// causeOf is the finer reason under a fault; for an operator, who may read it.
func causeOf(err error) string {
	var f *fault.Error
	if errors.As(err, &f) && f.Cause != nil {
		return ": " + f.Cause.Error()
	}
	return ""
}

func digestOf(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// onLedger looks for the entries that a request and its decisions must have: I6.
func (x *examination) onLedger(d dossier) {
	x.looked("I6", 1+len(d.decisions))
	if n := len(ofType(d.entries, "approval.requested")); n != 1 {
		x.found("I6", d.finding(), "the ledger has %d entries approval.requested for it, not 1", n)
	}
	for _, wanted := range closings(d.Request) {
		if !wanted.among(d.entries) {
			x.found("I6", d.finding(), "it is %s, and the ledger has no entry %s", d.Status, wanted.words)
		}
	}
	decided := by(ofType(d.entries, "approval.decided"), func(e told) string { return e.leaf.text("decision_id") })
	for _, decision := range d.decisions {
		f := d.finding()
		f.Other = "decision " + decision.ID
		switch list := decided[decision.ID]; {
		case len(list) != 1:
			x.found("I6", f, "the ledger has %d entries approval.decided for it, not 1", len(list))
		case list[0].Outcome != string(decision.Outcome) || list[0].leaf.text("token_sha256") != digestOf(decision.Token):
			x.found("I6", f, "its entry approval.decided tells of another outcome or token")
		}
	}
}

// closing is an entry with which a request left a status.
type closing struct {
	typ    string
	status string // of the request after a decision; empty for other closings
	words  string
}

// closings are the entries that led a request to where it is.
func closings(r approval.Request) []closing {
	var out []closing
	if r.UseBy != nil || r.Status == approval.Approved || r.Status == approval.Consumed {
		out = append(out, closing{"approval.decided", string(approval.Approved), "approval.decided that approved it"})
	}
	switch r.Status {
	case approval.Rejected:
		out = append(out, closing{"approval.decided", string(approval.Rejected), "approval.decided that rejected it"})
	case approval.Expired, approval.Cancelled, approval.Superseded:
		typ := "approval." + string(r.Status)
		out = append(out, closing{typ, "", typ})
	case approval.Pending, approval.Approved, approval.Consumed: // nothing more
	}
	return out
}

func (c closing) among(entries []told) bool {
	for _, e := range ofType(entries, c.typ) {
		if c.status == "" || e.Outcome == string(approval.Counted) && e.leaf.text("status") == c.status {
			return true
		}
	}
	return false
}

// mayStand reports whether a request can be where it is after an entry about it:
// the other way round of closings.
func mayStand(r approval.Request, e told) bool {
	switch e.Type {
	case "approval.expired", "approval.cancelled", "approval.superseded":
		return "approval."+string(r.Status) == e.Type
	case "approval.decided":
		if e.Outcome != string(approval.Counted) {
			return true
		}
		switch approval.Status(e.leaf.text("status")) {
		case approval.Approved:
			return r.UseBy != nil && r.Status != approval.Pending && r.Status != approval.Rejected
		case approval.Rejected:
			return r.Status == approval.Rejected
		default:
			return true
		}
	}
	return true
}
