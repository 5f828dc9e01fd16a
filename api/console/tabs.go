package console

// tabs are the navigation, in its order. Keys are unique, and ? is none of them.
var tabs = []tab{
	{Name: "overview", Path: "/console/", Label: "Overview", Key: "o", Counts: []string{"approval", "break", "incident", "outcome"}},
	{Name: "approvals", Path: "/console/approvals", Label: "Approvals", Key: "a", Permission: "approval.read", Counts: []string{"approval"}},
	{Name: "incidents", Path: "/console/incidents", Label: "Incidents", Key: "i", Permission: "incident.read", Counts: []string{"break", "incident"}},
	{Name: "runs", Path: "/console/runs", Label: "Agent runs", Key: "r", Permission: "agent.read"},
	{Name: "actions", Path: "/console/actions", Label: "Actions", Key: "c", Permission: "agent.read"},
	{Name: "exports", Path: "/console/exports", Label: "Exports", Key: "e", Permission: "export.read"},
	{Name: "schedules", Path: "/console/schedules", Label: "Schedules", Key: "s", Permission: "schedule.read"},
	{Name: "audit", Path: "/console/audit", Label: "Audit", Key: "u", Permission: "audit.read"},
	{Name: "systems", Path: "/console/systems", Label: "Systems", Key: "y", Permission: "system.read"},
	{Name: "metrics", Path: "/console/metrics", Label: "Metrics", Key: "m", Permission: "metrics.read"},
}

// messages are what pages say after a form was carried out. An address carries the
// code alone, so that nobody can make a page say something else.
var messages = map[string]string{
	"approved":   "Your approval is recorded.",
	"rejected":   "Your rejection is recorded.",
	"accepted":   "It is accepted, and will be recorded as soon as a worker is there.",
	"recorded":   "It is recorded.",
	"commented":  "Your comment is recorded.",
	"assigned":   "The assignment is recorded.",
	"escalated":  "The escalation has been fired.",
	"delegated":  "The delegation is recorded.",
	"cancelled":  "The request is withdrawn.",
	"revoked":    "The approval is taken back.",
	"asked":      "The request is made; it waits for approval.",
	"overridden": "Your override is recorded.",
	"agreed":     "It is recorded that you agree with the agent.",
	"stopped":    "No action begins from now on, until the stop is lifted.",
	"resolved":   "The outcome is recorded.",
	"withdrawn":  "The action is taken back.",

	"verifying":   "The exports are being read back.",
	"delivered":   "It is delivered, and was read back.",
	"undelivered": "It was not delivered; the list of deliveries says why.",
	"granted":     "The schedule is as you asked for it.",
	"ordered":     "The export of the slot has begun.",
}
