package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/export"
	"finobs/internal/fault"
	"finobs/internal/incident"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
)

// route is one line of the table: a method and a path, what they ask of the
// caller, and who answers.
type route struct {
	method, path string
	permission   Permission
	summary      string
	mount        func(r route, engine *gin.Engine, h huma.API)
}

// routes is every route of the API. Each is also served under /api.
func (s *Server) routes() []route {
	return slices.Concat(s.deskRoutes(), s.incidentRoutes(), s.intakeRoutes(), s.reconRoutes(), s.exportRoutes(), s.scheduleRoutes(), s.agentRoutes(), s.signInRoutes(), s.consoleRoutes(), s.streamRoutes())
}

func (s *Server) deskRoutes() []route {
	return []route{
		on(http.MethodPost, "/approval/", ApprovalAsk, "Ask for approval of an action", s.askApproval),
		on(http.MethodGet, "/approval/", ApprovalRead, "List requests for approval", s.listApprovals),
		on(http.MethodGet, "/approval/{id}", ApprovalRead, "Read a request for approval", s.getApproval),
		on(http.MethodPost, "/approval/{id}/decision", ApprovalJudge, "Approve or reject", s.decide),
		on(http.MethodPost, "/approval/batch_decision", ApprovalJudge, "Approve or reject several requests of one risk tier", s.decideBatch),
		on(http.MethodGet, "/systems", SystemRead, "How finobs, and what it leans on, is doing", s.systems.get),
		on(http.MethodGet, "/approval/metrics", MetricsRead, "Counts, latencies and rates of approvals", s.approvalMetrics),
		on(http.MethodGet, "/approval/{id}/history", ApprovalRead, "Ledger entries about a request", s.approvalHistory),
		on(http.MethodGet, "/approval/{id}/receipt", ApprovalRead, "All that finaudit needs to verify the decisions offline", s.receipt),
		on(http.MethodPost, "/approval/{id}/comment", ApprovalAct, "Say something about a request", s.comment),
		on(http.MethodPost, "/approval/{id}/assign", ApprovalAct, "Say who is to look at a request", s.assign),
		on(http.MethodPost, "/approval/{id}/escalate", ApprovalAct, "Fire the next escalation of the ladder now", s.does(approval.Escalate)),
		on(http.MethodPost, "/approval/{id}/delegate", ApprovalJudge, "Let somebody decide on a request in one's place", s.delegateOne),
		on(http.MethodPost, "/approval/{id}/cancel", ApprovalAct, "Withdraw one's own request", s.does(approval.Cancel)),
		on(http.MethodPost, "/approval/{id}/revoke", ApprovalJudge, "Take back an approval that is not used yet", s.does(approval.Revoke)),
		on(http.MethodPost, "/approval/{id}/reopen", ApprovalAsk, "Ask again, linked to the earlier request", s.reopen),
		on(http.MethodPost, "/approval/{id}/edit", ApprovalAsk, "Replace a pending request by one with other parameters", s.edit),

		on(http.MethodGet, "/delegations", ApprovalRead, "List delegations", s.listDelegations),
		on(http.MethodPost, "/delegations", ApprovalJudge, "Let somebody decide in one's place for a while", s.delegateAll),
		on(http.MethodPost, "/delegations/{id}/revoke", ApprovalJudge, "End a delegation", s.revokeDelegation),

		on(http.MethodGet, "/users", UserRead, "List the roster", s.listUsers),
		on(http.MethodPost, "/users", UserAsk, "Put somebody on the roster, once approved", s.addUser),
		on(http.MethodGet, "/users/{sub}", UserRead, "Read somebody's entry on the roster", s.getUser),
		on(http.MethodPatch, "/users/{sub}", UserAsk, "Change somebody's roles, desk or state, once approved", s.changeUser),
		on(http.MethodGet, "/users/{sub}/history", UserRead, "Ledger entries about somebody on the roster", s.userHistory),

		on(http.MethodGet, "/policies", PolicyRead, "The policies in force, as a file and in words", s.getPolicies),
		on(http.MethodPost, "/policies", PolicyAsk, "Put another policy file in force, once approved", s.activatePolicies),

		on(http.MethodGet, "/notifications", NoticeRead, "List notifications, dead letters among them", s.listNotices),
		on(http.MethodPost, "/notifications/{id}/resend", NoticeResend, "Send a notification again that did not arrive", s.resend),

		on(http.MethodGet, "/compliance/logs", AuditRead, "Who asked for, decided on, did and was refused what", s.complianceLogs),

		on(http.MethodGet, "/transactions", TransactionRead, "List transactions", s.listTransactions),
		raw(http.MethodPost, "/transactions", ImportRun, "Load transactions sent as the body", s.postTransactions),
		on(http.MethodGet, "/transactions/{id}", TransactionRead, "Read a transaction", s.getTransaction),
		on(http.MethodGet, "/transactions/{id}/history", TransactionRead, "What a transaction was, and who loaded it", s.transactionHistory),

		on(http.MethodGet, "/audit", AuditRead, "Search the log", s.audit),
		on(http.MethodGet, "/audit/{index}/leaf", AuditRead, "An entry exactly as it is hashed", s.leaf),
		on(http.MethodGet, "/audit/{index}/proof", AuditRead, "Proof that an entry is in the log (C2SP tlog-proof)", s.leafProof),
		on(http.MethodGet, "/log/consistency", AuditRead, "Proof that the log only grew", s.consistency),
		on(http.MethodGet, "/log/status", MetricsRead, "How the sequencer and the SIEM sinks are doing", s.logStatus),
		raw(http.MethodGet, "/log/checkpoint", Public, "The newest signed statement of the log (C2SP tlog-checkpoint)", s.checkpoint),
		raw(http.MethodGet, "/log/keys", Public, "The keys that the log is signed with", s.logKeys),
		raw(http.MethodGet, "/log/tile/*path", AuditRead, "Tiles and entry bundles (C2SP tlog-tiles)", s.tile),
		raw(http.MethodGet, "/log/projection/*path", AuditRead, "The columns of the entries of a bundle", s.projection),

		raw(http.MethodGet, "/healthz", Public, "The process answers", s.healthz),
		raw(http.MethodGet, "/readyz", Public, "The process can do its work", s.readyz),
		page("/openapi.json", s.openAPI),
		page("/docs/*path", s.docs()),
	}
}

// intakeRoutes are those of what comes in and is looked for; see docs/intake.md.
func (s *Server) intakeRoutes() []route {
	return []route{
		raw(http.MethodPost, "/ingest/fails", ImportRun, "Import an SEC fails-to-deliver file sent as the body", s.ingestFails),
		raw(http.MethodPost, "/ingest/{source}", Ingest, "Take a FIX log, alerts or heartbeats of a source, sent as the body", s.ingestSource),
		on(http.MethodGet, "/imports/{sha256}", ImportRead, "Read what became of a file", s.getImport),
		on(http.MethodGet, "/sources", EventRead, "List the sources and when each was heard of last", s.listSources),
		on(http.MethodGet, "/events", EventRead, "List what sources reported", s.listEvents),
		on(http.MethodGet, "/events/{id}", EventRead, "Read an event", s.getEvent),
		raw(http.MethodGet, "/payloads/{sha256}", PayloadRead, "Download what a source sent, byte for byte", s.payload),
		on(http.MethodGet, "/tasks", ApprovalRead, "What waits for the caller, most urgent first", s.listTasks),
		on(http.MethodGet, "/tasks/count", ApprovalRead, "How much waits for the caller", s.countTasks),
		on(http.MethodGet, "/detectors", EventRead, "List the detectors and what each found last", s.listDetectors),
		on(http.MethodGet, "/detectors/{name}/runs", EventRead, "List the last runs of a detector", s.listDetectorRuns),
		on(http.MethodPost, "/detectors/{name}/run", DetectRun, "Run a detector now", s.runDetector),
	}
}

// incidentRoutes are those of incidents and windows of maintenance; see
// docs/incidents.md.
func (s *Server) incidentRoutes() []route {
	return []route{
		on(http.MethodGet, "/incidents", IncidentRead, "List incidents", s.listIncidents),
		on(http.MethodPost, "/incidents", IncidentOpen, "Open an incident", s.openIncident),
		on(http.MethodGet, "/incidents/{id}", IncidentRead, "Read an incident", s.getIncident),
		on(http.MethodGet, "/incidents/{id}/history", IncidentRead, "Ledger entries about an incident", s.incidentHistory),
		on(http.MethodGet, "/incidents/{id}/timeline", IncidentRead, "What happened in an incident, newest first", s.incidentTimeline),
		on(http.MethodGet, "/incidents/{id}/occurrences", IncidentRead, "Each report of an incident's condition, newest first", s.incidentOccurrences),
		on(http.MethodGet, "/incidents/metrics", IncidentRead, "Counts, times to acknowledge and to resolve, promises kept and broken", s.incidentMetrics),
		on(http.MethodPost, "/incidents/bulk", IncidentWork, "Do one act to many incidents", s.bulkIncidents),
		on(http.MethodPost, "/incidents/{id}/acknowledge", IncidentWork, "Say that one deals with an incident; nobody else is paged", s.notes(incident.Acknowledge)),
		on(http.MethodPost, "/incidents/{id}/unacknowledge", IncidentWork, "Take an acknowledgement back; the ladder begins anew", s.notes(incident.Unacknowledge)),
		on(http.MethodPost, "/incidents/{id}/assign", IncidentWork, "Say who has an incident", s.assignIncident),
		on(http.MethodPost, "/incidents/{id}/comment", IncidentWork, "Say something about an incident", s.commentIncident),
		on(http.MethodPost, "/incidents/{id}/resolve", IncidentWork, "Say what ended an incident", s.resolveIncident),
		on(http.MethodPost, "/incidents/{id}/close", IncidentWork, "Close an incident that is resolved", s.notes(incident.Close)),
		on(http.MethodPost, "/incidents/{id}/reopen", IncidentWork, "Say that an incident is not over", s.reopenIncident),
		on(http.MethodPost, "/incidents/{id}/severity", IncidentWork, "Give an incident a severity that no machine changes", s.rateIncident),
		on(http.MethodPost, "/incidents/{id}/priority", IncidentWork, "Give an incident a priority of its own", s.prioritiseIncident),
		on(http.MethodPost, "/incidents/{id}/link", IncidentWork, "Link an incident to a transaction", s.linkIncident),
		on(http.MethodPost, "/incidents/{id}/parent", IncidentWork, "Make an incident the child of another", s.parentIncident),
		on(http.MethodPost, "/incidents/{id}/merge", IncidentWork, "Merge an incident into another, which survives", s.mergeIncident),

		on(http.MethodGet, "/maintenance-windows", IncidentRead, "List windows of maintenance", s.listWindows),
		on(http.MethodPost, "/maintenance-windows", MaintenanceRun, "Keep incidents that match from paging for a while", s.createWindow),
		on(http.MethodGet, "/maintenance-windows/{id}", IncidentRead, "Read a window of maintenance", s.getWindow),
		on(http.MethodPost, "/maintenance-windows/{id}/end", MaintenanceRun, "End a window of maintenance before its time", s.endWindow),
	}
}

// scheduleRoutes are those of schedules of exports; see docs/exports-schedules.md.
func (s *Server) scheduleRoutes() []route {
	return []route{
		on(http.MethodGet, "/export-schedules", ScheduleRead, "List schedules of exports", s.listSchedules),
		on(http.MethodPost, "/export-schedules", ScheduleAsk, "Export again and again, once approved", s.createSchedule),
		on(http.MethodPost, "/export-schedules/preview", ScheduleRead, "When a cron expression falls due", s.previewSchedule),
		on(http.MethodGet, "/export-schedules/{id}", ScheduleRead, "Read a schedule, its next runs and last slots", s.getSchedule),
		on(http.MethodPatch, "/export-schedules/{id}", ScheduleAsk, "Change a schedule, once approved", s.changeSchedule),
		on(http.MethodDelete, "/export-schedules/{id}", ScheduleRun, "End a schedule; it stays on record", s.doesToSchedule(export.ScheduleEnd)),
		on(http.MethodGet, "/export-schedules/{id}/slots", ScheduleRead, "What became of each slot", s.listSlots),
		on(http.MethodGet, "/export-schedules/{id}/history", ScheduleRead, "Ledger entries about a schedule", s.scheduleHistory),
		on(http.MethodPost, "/export-schedules/{id}/pause", ScheduleRun, "Let a schedule rest", s.doesToSchedule(export.SchedulePause)),
		on(http.MethodPost, "/export-schedules/{id}/resume", ScheduleRun, "Let a schedule go on, while its grant lasts", s.doesToSchedule(export.ScheduleResume)),
		on(http.MethodPost, "/export-schedules/{id}/trigger", ScheduleRun, "Carry out the last slot that was not exported", s.trigger),
		on(http.MethodPost, "/export-schedules/{id}/backfill", ScheduleRun, "Carry out the slots of a span that were not exported", s.backfill),
	}
}

// exportRoutes are those of exports; see docs/exports.md.
func (s *Server) exportRoutes() []route {
	return []route{
		on(http.MethodPost, "/incidents/export", ExportAsk, "Export incidents, once approved", exportOf[exportIncidentsInput](s, export.Incidents)),
		on(http.MethodGet, "/incidents/export", ExportAsk, "Export incidents, once approved (same as POST)", exportOf[exportIncidentsInput](s, export.Incidents)),
		on(http.MethodPost, "/transactions/export", ExportAsk, "Export transactions, once approved", exportOf[exportTransactionsInput](s, export.Transactions)),
		on(http.MethodGet, "/transactions/export", ExportAsk, "Export transactions, once approved (same as POST)", exportOf[exportTransactionsInput](s, export.Transactions)),
		on(http.MethodPost, "/users/export", ExportAsk, "Export the roster, once approved", exportOf[exportUsersInput](s, export.Users)),
		on(http.MethodGet, "/users/export", ExportAsk, "Export the roster, once approved (same as POST)", exportOf[exportUsersInput](s, export.Users)),
		on(http.MethodPost, "/compliance/logs/export", ExportAsk, "Export the compliance log, once approved", exportOf[exportEntriesInput](s, export.ComplianceLogs)),
		on(http.MethodGet, "/compliance/logs/export", ExportAsk, "Export the compliance log, once approved (same as POST)", exportOf[exportEntriesInput](s, export.ComplianceLogs)),
		on(http.MethodPost, "/compliance/export", ExportAsk, "The same as /compliance/logs/export", exportOf[exportEntriesInput](s, export.ComplianceLogs)),
		on(http.MethodGet, "/compliance/export", ExportAsk, "The same as /compliance/logs/export", exportOf[exportEntriesInput](s, export.ComplianceLogs)),
		on(http.MethodPost, "/audit/export", ExportAsk, "Export the log, once approved", exportOf[exportEntriesInput](s, export.Audit)),
		on(http.MethodGet, "/audit/export", ExportAsk, "Export the log, once approved (same as POST)", exportOf[exportEntriesInput](s, export.Audit)),

		on(http.MethodGet, "/exports/", ExportRead, "List exports", s.listExports),
		on(http.MethodPost, "/exports/", ExportAsk, "Export a dataset, once approved", s.createExport),
		on(http.MethodGet, "/exports/destinations", ExportAsk, "Where exports can be delivered", s.listDestinations),
		raw(http.MethodGet, "/exports/keys", Public, "The keys that exports are sealed with, as allowed signers of ssh-keygen", s.exportKeys),
		on(http.MethodPost, "/exports/batch_verify", ExportVerify, "Read exports back and give a verdict on each", s.verifyBatch),
		on(http.MethodGet, "/exports/batch_verify/{id}", ExportRead, "How far a verification has come, and its verdicts", s.getVerification),
		on(http.MethodGet, "/exports/{id}", ExportRead, "Read an export's metadata", s.getExport),
		on(http.MethodPatch, "/exports/{id}", ExportRead, "Refused: what is recorded of an export moves only through workflows", s.refuseExportChange),
		on(http.MethodDelete, "/exports/{id}", ExportRead, "Refused: exports are part of the record", s.refuseExportDelete),
		on(http.MethodGet, "/exports/{id}/progress", ExportRead, "How far an export has come", s.exportProgress),
		on(http.MethodPost, "/exports/{id}/verify", ExportVerify, "Read an export back and give a verdict", s.verifyOne),
		on(http.MethodPost, "/exports/{id}/redeliver", ExportSend, "Deliver the same bytes again", s.redeliver),
		on(http.MethodGet, "/exports/{id}/content", ExportRead, "Download an artefact", s.exportContent),
		on(http.MethodGet, "/exports/{id}/bundle", ExportRead, "Download all files of a sealed export, which finaudit verifies offline", s.exportBundle),
		on(http.MethodGet, "/exports/{id}/history", ExportRead, "Ledger entries about an export", s.exportHistory),
		on(http.MethodGet, "/approval/{id}/progress", ApprovalRead, "How far the export that was asked for has come", s.approvalProgress),
	}
}

// on makes a route whose input and output are types; they become its part of the
// OpenAPI document. Errors of the handler become problems.
func on[I, O any](method, path string, p Permission, summary string, handle func(context.Context, *I) (*O, error)) route {
	return route{method, path, p, summary, func(r route, _ *gin.Engine, h huma.API) {
		huma.Register(h, r.operation(), func(ctx context.Context, in *I) (*O, error) {
			out, err := handle(ctx, in)
			if err != nil {
				return nil, problemOf(ctx, err)
			}
			return out, nil
		})
	}}
}

// raw makes a route that reads and writes by itself, shown in the document
// without types.
func raw(method, path string, p Permission, summary string, handle gin.HandlerFunc) route {
	return route{method, path, p, summary, func(r route, engine *gin.Engine, h huma.API) {
		engine.Handle(method, ginPath(path), handle)
		op := r.operation()
		h.OpenAPI().AddOperation(&op)
	}}
}

// page makes a public route for people, left out of the document.
func page(path string, handle gin.HandlerFunc) route { return hidden(http.MethodGet, path, handle) }

// hidden is page for any method.
func hidden(method, path string, handle gin.HandlerFunc) route {
	return route{method, path, Public, "", func(_ route, engine *gin.Engine, _ huma.API) { engine.Handle(method, path, handle) }}
}

func (r route) operation() huma.Operation {
	tag := strings.Split(strings.Trim(r.path, "/"), "/")[0]
	id := strings.ToLower(r.method) + "-" + strings.Trim(strings.NewReplacer("/", "-", "{", "", "}", "").Replace(r.path), "-")
	op := huma.Operation{
		OperationID: id, Method: r.method, Path: r.path, Summary: r.summary, Tags: []string{tag},
		Description:  "Permission: `" + string(r.permission) + "`",
		MaxBodyBytes: maxBody,
		// The body was read within the server's own limit, by strictJSON. A deadline
		// that passes while the handler works would end this request's context and
		// that of all later ones on its connection.
		BodyReadTimeout:              -1,
		RejectUnknownQueryParameters: true,
	}
	if r.permission != Public {
		op.Security = []map[string][]string{{"bearer": {}}}
	}
	return op
}

// register mounts the table and then proves that nothing else is mounted.
func (s *Server) register(engine *gin.Engine) error {
	huma.NewErrorWithContext = humaProblem
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return humaProblem(nil, status, message, errs...)
	}
	huma.ValidateStrictCasing = true
	h := humagin.New(engine, humaConfig())
	s.document = h.OpenAPI()
	for _, r := range s.routes() {
		key := r.method + " " + ginPath(r.path)
		if _, twice := s.permissions[key]; twice {
			return fmt.Errorf("route %s is in the table twice", key)
		}
		s.permissions[key] = r.permission
		r.mount(r, engine, h)
	}
	describe(s.document)
	return s.everyRouteListed(engine)
}

func (s *Server) everyRouteListed(engine *gin.Engine) error {
	mounted := engine.Routes()
	for _, r := range mounted {
		if _, listed := s.permissions[r.Method+" "+r.Path]; !listed {
			return fault.New(fault.Internal, "route-not-listed", "route %s %s has no entry in the permission table", r.Method, r.Path)
		}
	}
	if len(mounted) != len(s.permissions) {
		return fmt.Errorf("%d routes are mounted, the table has %d", len(mounted), len(s.permissions))
	}
	return nil
}

// ginPath writes {id} the way gin does.
func ginPath(path string) string { return strings.NewReplacer("{", ":", "}", "").Replace(path) }

func humaConfig() huma.Config {
	c := huma.DefaultConfig("finobs", "1.0.0")
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "" // served by the table's own routes
	c.CreateHooks = nil                                   // no $schema members in answers
	c.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT"},
	}
	c.Info.Description = "Incidents, approvals and exports of a trading desk. Errors are RFC 9457 problems."
	return c
}
