package worker

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/notify"

	"github.com/google/uuid"
)

// Messenger sends notices over the channels of a file.
type Messenger struct {
	Channels *notify.Channels // nil for none
	BaseURL  string           // where people reach the API; empty leaves links out
}

// Repeatable reports whether the channel's receivers recognise a repeat.
func (m Messenger) Repeatable(channel string) bool { return m.Channels.Repeatable(channel) }

// Send sends a notice; see activities.Messenger for its errors.
func (m Messenger) Send(ctx context.Context, n approval.Notice) (string, error) {
	channel, known := m.Channels.Get(n.Channel)
	if !known {
		return "", fault.New(fault.Invalid, "no-such-channel", "no channel is called %q; name it in the channel file and send the notification again", n.Channel)
	}
	message := notify.Message{
		ID: n.ID, Kind: string(n.Kind), Subject: n.Subject, Text: n.Body, At: n.CreatedAt,
		Data: map[string]string{"occasion": n.Occasion},
	}
	key, what, id := notify.DataApproval, "approval", n.ApprovalID
	if n.IncidentID != 0 {
		key, what, id = notify.DataIncident, "incident", n.IncidentID
	}
	message.Data[key] = strconv.FormatInt(id, 10)
	if n.Round > 1 { // a person wants it sent again: receivers must not take it for a repeat
		message.ID = uuid.NewSHA1(uuid.MustParse(n.ID), []byte(strconv.Itoa(n.Round))).String()
		message.Data["round"] = strconv.Itoa(n.Round)
	}
	if m.BaseURL != "" {
		message.URL = fmt.Sprintf("%s/open/%s/%d", strings.TrimSuffix(m.BaseURL, "/"), what, id)
	}
	for _, r := range n.Recipients {
		message.To = append(message.To, notify.Recipient{Name: r.Subject, Email: r.Email})
	}
	receipt, err := channel.Send(ctx, message)
	switch notify.OutcomeOf(err) {
	case "":
		return describe(receipt), nil
	case notify.NotSent:
		return "", fault.Wrap(err, fault.Unavailable, "not-sent", "%v", err)
	case notify.Refused:
		return "", fault.Wrap(err, fault.Invalid, "refused", "%v", err)
	default:
		return "", fault.Wrap(err, fault.Conflict, "outcome-unknown", "%v", err)
	}
}

func describe(r notify.Receipt) string {
	if len(r.Refused) == 0 {
		return r.Ref
	}
	return r.Ref + "; not taken: " + strings.Join(r.Refused, ", ")
}
