package notify

import (
	"context"
	"regexp"
	"time"

	"finobs/internal/plaintext"

	"github.com/google/uuid"
)

// The kinds of messages that finobs sends.
const (
	KindRequested  = "approval.requested"
	KindReminder   = "approval.reminder"
	KindEscalation = "approval.escalation"
	KindOutcome    = "approval.outcome"
	KindNobody     = "approval.nobody_eligible"
)

// DataApproval is the key in Message.Data of the approval's ID.
const DataApproval = "approval_id"

// DataIncident is the key in Message.Data of the incident's ID.
const DataIncident = "incident_id"

// Message is one notification.
type Message struct {
	ID      string            // UUID: the idempotency key, and part of the Message-ID
	Kind    string            // one of the kinds above
	Subject string            // one line; may hold text from outside
	Text    string            // plain text; may hold text from outside
	URL     string            // a page, or empty; opening it decides nothing
	To      []Recipient       // whom it is for, beside those a channel always tells
	Data    map[string]string // facts for programs: approval_id, action_digest, …
	At      time.Time         // when it was written; the same in every repetition
}

// Recipient is a person who is told.
type Recipient struct {
	Name, Email string // without Email the person is left out of mails
}

// Receipt says what became of a message that was sent.
type Receipt struct {
	Ref        string   // the Message-ID of a mail; the status line that answered a webhook
	Recipients int      // addresses that were taken; 1 for a webhook
	Refused    []string // addresses that are wrong for good, while others were taken
}

// Channel carries messages. Every error of it is an *Error.
type Channel interface {
	Send(ctx context.Context, m Message) (Receipt, error)
}

var kindForm = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)

// check refuses what no channel can carry. ID and Kind become headers.
func (m *Message) check() error {
	if id, err := uuid.Parse(m.ID); err != nil || id.String() != m.ID {
		return refused(nil, "the message's ID %q is not a lower-case UUID", m.ID)
	}
	if !kindForm.MatchString(m.Kind) {
		return refused(nil, "the message's kind %q is not of the form approval.requested", m.Kind)
	}
	if plaintext.Line(m.Subject, maxSubject) == "" {
		return refused(nil, "the message has no subject")
	}
	if m.At.IsZero() {
		return refused(nil, "the message does not say when it was written")
	}
	return nil
}
