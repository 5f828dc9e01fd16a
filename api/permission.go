package api

import (
	"slices"

	"finobs/internal/approval"
)

// Permission is what a route asks of its caller.
type Permission string

// The closed set of permissions.
const (
	Public        Permission = "public" // no token needed
	ApprovalRead  Permission = "approval.read"
	ApprovalAsk   Permission = "approval.ask"
	ApprovalJudge Permission = "approval.judge" // may decide; whether it counts is the policy's word
	IncidentRead  Permission = "incident.read"
	IncidentOpen  Permission = "incident.open"
	ExportAsk     Permission = "export.ask"
	ExportRead    Permission = "export.read"     // metadata of all exports, content of one's own
	ExportReadAll Permission = "export.read_all" // content of everybody's
	ImportRun     Permission = "import.run"
	ImportRead    Permission = "import.read"
)

// grants says what each role may do; whatever is not listed is denied.
var grants = map[string][]Permission{
	"viewer": {ApprovalRead, IncidentRead, ImportRead},
	"analyst": {
		ApprovalRead, ApprovalAsk, ApprovalJudge, IncidentRead, IncidentOpen, ExportAsk, ExportRead, ImportRun, ImportRead,
	},
	"compliance": {
		ApprovalRead, ApprovalAsk, ApprovalJudge, IncidentRead, IncidentOpen, ExportAsk, ExportRead, ExportReadAll, ImportRun, ImportRead,
	},
	"admin": {
		ApprovalRead, ApprovalAsk, ApprovalJudge, IncidentRead, IncidentOpen, ExportAsk, ExportRead, ExportReadAll, ImportRun, ImportRead,
	},
	"auditor": {ApprovalRead, IncidentRead, ExportRead, ExportReadAll, ImportRead},
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
