package main

import (
	"fmt"
	"strings"
	"time"

	"finobs/internal/client"
)

// explain says in words what a request asks for, who decided, and what is missing.
func explain(s screen, e client.ApprovalDetail, now time.Time) {
	s.say("approval %d is %s", e.ApprovalRequestID, e.Status)
	if e.StatusReason != "" {
		s.say("  because: %q", e.StatusReason)
	}
	s.say("\nwhat is asked")
	s.lines(e.Summary)
	if e.Reason != "" {
		s.say("  reason given: %q", e.Reason)
	}
	for _, part := range []struct {
		name  string
		lines []string
	}{
		{"who decided", deciders(e.Decisions)}, {"how it stands", e.Explanation}, {"when", times(e, now)}, {"ladder", ladder(e)},
	} {
		s.say("\n%s", part.name)
		s.lines(strings.Join(part.lines, "\n"))
	}
}

func deciders(decisions []client.DecisionView) []string {
	if len(decisions) == 0 {
		return []string{"nobody"}
	}
	var lines []string
	for _, d := range decisions {
		line := fmt.Sprintf("%s: %q", d.Verdict, d.Approver.Sub)
		if d.OnBehalfOf.Sub != "" {
			line += fmt.Sprintf(" for %q", d.OnBehalfOf.Sub)
		}
		line += " at " + d.DecidedAt.UTC().Format(time.RFC3339) + ", " + d.Outcome
		if d.OutcomeReason != "" {
			line += ": " + d.OutcomeReason
		}
		if d.Reason != "" {
			line += fmt.Sprintf(" (reason given: %q)", d.Reason)
		}
		lines = append(lines, line)
	}
	return lines
}

func times(e client.ApprovalDetail, now time.Time) []string {
	lines := []string{"asked for at " + e.CreatedAt.UTC().Format(time.RFC3339)}
	deadline := "deadline " + e.ExpiresAt.UTC().Format(time.RFC3339)
	if left := e.ExpiresAt.Sub(now).Round(time.Second); e.Status == "pending" {
		switch {
		case left > 0:
			deadline += ", in " + left.String()
		default:
			deadline += ", which has passed"
		}
	}
	lines = append(lines, deadline)
	if e.Status == "pending" && e.Stage > 0 {
		lines = append(lines, fmt.Sprintf("stage %d is open", e.Stage))
	}
	for _, at := range []struct {
		what string
		when *time.Time
	}{{"decided or closed at", e.ClosedAt}, {"may be used until", e.UseBy}, {"used at", e.ConsumedAt}} {
		if at.when != nil {
			lines = append(lines, at.what+" "+at.when.UTC().Format(time.RFC3339))
		}
	}
	return lines
}

func ladder(e client.ApprovalDetail) []string {
	fired := "no reminder and no escalation has fired"
	if len(e.FiredRungs) > 0 {
		fired = "fired: " + strings.Join(e.FiredRungs, ", ")
	}
	lines := []string{fired}
	if e.EscalationLevel > 0 {
		lines = append(lines, fmt.Sprintf("escalation level %d", e.EscalationLevel))
	}
	if e.Fallback {
		lines = append(lines, "the policy's fallback list is admitted")
	}
	if e.Assignee.Sub != "" {
		lines = append(lines, fmt.Sprintf("assigned to %q", e.Assignee.Sub))
	}
	return lines
}
