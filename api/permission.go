package api

import (
	"slices"

	"finobs/internal/approval"
)

// Permission is what a route asks of its caller.
type Permission string

// The closed set of permissions.
const (
	Public          Permission = "public" // no token needed
	ApprovalRead    Permission = "approval.read"
	ApprovalAsk     Permission = "approval.ask"
	ApprovalAct     Permission = "approval.act"   // comment, assign, escalate, cancel
	ApprovalJudge   Permission = "approval.judge" // may decide; whether it counts is the policy's word
	IncidentRead    Permission = "incident.read"
	IncidentOpen    Permission = "incident.open"
	IncidentWork    Permission = "incident.work"   // acknowledge, assign, resolve and so on: people's acts
	MaintenanceRun  Permission = "maintenance.run" // keep incidents from paging for a while
	ExportAsk       Permission = "export.ask"
	ExportRead      Permission = "export.read"     // metadata of all exports, content of one's own
	ExportReadAll   Permission = "export.read_all" // content of everybody's
	ExportVerify    Permission = "export.verify"
	ExportSend      Permission = "export.redeliver" // deliver a sealed export again
	ScheduleRead    Permission = "schedule.read"
	ScheduleAsk     Permission = "schedule.ask" // may ask for a schedule, or for a change of one
	ScheduleRun     Permission = "schedule.run" // trigger, backfill, pause, resume, end
	ImportRun       Permission = "import.run"
	ImportRead      Permission = "import.read"
	Ingest          Permission = "ingest" // without a token, a source's own signature stands in for it
	EventRead       Permission = "event.read"
	PayloadRead     Permission = "payload.read"
	DetectRun       Permission = "detector.run"
	TransactionRead Permission = "transaction.read"
	UserRead        Permission = "user.read"
	UserAsk         Permission = "user.ask" // may ask for a change of the roster
	PolicyRead      Permission = "policy.read"
	PolicyAsk       Permission = "policy.ask" // may ask for other policies
	NoticeRead      Permission = "notification.read"
	NoticeResend    Permission = "notification.resend"
	MetricsRead     Permission = "metrics.read"
	SystemRead      Permission = "system.read" // how the systems are; answered without the roster while the database is down
	AuditRead       Permission = "audit.read"
	ReconRun        Permission = "recon.run"
	ReconRead       Permission = "recon.read"
	AgentAsk        Permission = "agent.ask"
	AgentRead       Permission = "agent.read"
	AgentJudge      Permission = "agent.judge" // override, resolve, withdraw: people's acts
	AgentStop       Permission = "agent.stop"
	StreamRead      Permission = "stream.read" // of the streams, those that one may read
)

// Permissions that several roles have, by what they are for.
var (
	readAll = []Permission{ApprovalRead, IncidentRead, TransactionRead, EventRead, ImportRead, PolicyRead, ReconRead, AgentRead, StreamRead, SystemRead}
	oversee = []Permission{UserRead, NoticeRead, MetricsRead, ExportRead, ScheduleRead, PayloadRead}
	work    = []Permission{ApprovalAsk, ApprovalAct, IncidentOpen, AgentAsk}
	tend    = []Permission{IncidentWork, MaintenanceRun, AgentStop}
	judge   = []Permission{ApprovalJudge, ExportAsk, ExportVerify, ExportSend, ScheduleAsk, ScheduleRun, ImportRun, ReconRun, Ingest, DetectRun, AgentJudge}
	manage  = []Permission{AuditRead, ExportReadAll, UserAsk, PolicyAsk, NoticeResend}
)

// grants says what each role may do; whatever is not listed is denied.
var grants = map[string][]Permission{
	"viewer":     readAll,
	"trader":     slices.Concat(readAll, work, tend),
	"analyst":    slices.Concat(readAll, oversee, work, tend, judge),
	"compliance": slices.Concat(readAll, oversee, work, tend, judge, manage),
	"admin":      slices.Concat(readAll, oversee, work, tend, judge, manage),
	"auditor":    slices.Concat(readAll, oversee, []Permission{AuditRead, ExportReadAll, ExportVerify}),
	"service":    slices.Concat(readAll, work, []Permission{ImportRun, ReconRun, Ingest, DetectRun}), // a machine asks, it never decides
}

// permits reports whether one of p's roles grants the permission.
func permits(p approval.Principal, wanted Permission) bool {
	for _, role := range p.Roles {
		if slices.Contains(grants[role], wanted) {
			return true
		}
	}
	return false
}
