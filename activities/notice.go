package activities

import (
	"context"
	"fmt"
	"strings"
	"time"

	"finobs/internal/approval"

	"github.com/google/uuid"
)

// tell queues a notice about a request for some people. Without a channel nobody
// is told.
func tell(ctx context.Context, tx JudgeTx, m matter, occasion string, kind approval.NoticeKind, channel string, to []approval.Member) error {
	if channel == "" {
		return nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("making notification id: %w", err)
	}
	n := approval.Notice{
		ID: id.String(), ApprovalID: m.ID, Occasion: occasion, Kind: kind, Channel: channel,
		Subject: subjectOf(kind, m.Request), Body: bodyOf(m), WhilePending: kind != approval.NoticeOutcome, TraceID: m.TraceID,
	}
	for _, member := range to {
		n.Recipients = append(n.Recipients, approval.Recipient{Person: member.Person, Email: member.Email})
	}
	return tx.InsertNotice(ctx, n)
}

// tellOutcome tells the requester how his request ended.
func tellOutcome(ctx context.Context, tx JudgeTx, m matter) error {
	if m.policy.Channel == "" {
		return nil
	}
	roster, err := tx.Members(ctx, []approval.Person{m.Requester})
	if err != nil {
		return err
	}
	if len(roster) == 0 {
		roster = approval.Roster{{Person: m.Requester}}
	}
	return tell(ctx, tx, m, approval.OccasionOutcome, approval.NoticeOutcome, m.policy.Channel, roster)
}

func subjectOf(kind approval.NoticeKind, r approval.Request) string {
	what := fmt.Sprintf("approval %d (%s)", r.ID, r.Kind)
	switch kind {
	case approval.NoticeReminder:
		return "Reminder: " + what + " waits for you"
	case approval.NoticeEscalation:
		return "Escalated: " + what + " is not decided"
	case approval.NoticeNobodyEligible:
		return "Nobody can approve " + what
	case approval.NoticeOutcome:
		return strings.ToUpper(what[:1]) + what[1:] + " is " + string(r.Status)
	default:
		return strings.ToUpper(what[:1]) + what[1:] + " waits for you"
	}
}

// bodyOf shows what approvers are shown, and where the request stands.
func bodyOf(m matter) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Approval %d is %s.", m.ID, m.Status)
	if m.StatusReason != "" {
		fmt.Fprintf(&b, " %s", approval.Printable(m.StatusReason))
	}
	fmt.Fprintf(&b, "\nDeadline: %s\n\n%s", m.ExpiresAt.UTC().Format(time.RFC3339), m.Summary)
	if m.Reason != "" {
		fmt.Fprintf(&b, "\nThe requester says: %s\n", approval.Printable(m.Reason))
	}
	return b.String()
}

func namesOf(people []approval.Member) []string {
	names := make([]string, 0, len(people))
	for _, p := range people {
		names = append(names, p.Subject)
	}
	if len(names) > maxNames {
		names = append(names[:maxNames], fmt.Sprintf("and %d more", len(people)-maxNames))
	}
	return names
}

// maxNames is how many people an entry names; an entry is small.
const maxNames = 20
