package telemetry

// This file has every name: what processes export under other names is Temporal's
// (TemporalPrefix), or the Go runtime's (RuntimePrefixes). docs/telemetry.md shows
// it as a table, which a test compares.

// TemporalPrefix begins the names of what Temporal's SDK measures, see
// https://docs.temporal.io/references/sdk-metrics.
const TemporalPrefix = "temporal_"

// RuntimePrefixes begin the names that GET /metrics has of the Go runtime, of the
// process and of the service itself.
var RuntimePrefixes = []string{"go_", "process_", "target_info"}

// Buckets, in seconds.
var (
	// short is for what machines do to each other.
	short = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	// waits is for what may have to wait for a worker.
	waits = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}
	// human is for what people take their time for: up to a week.
	human = []float64{1, 5, 15, 60, 300, 900, 1800, 3600, 2 * 3600, 4 * 3600, 8 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600}
)

// Attributes.
var (
	Family    = oneOf("kind", "agent", "export", "policy", "remediation", "schedule", "user") // first word of an action's kind
	Action    = few("action")                                                                 // of the catalogue of actions
	Verdict   = oneOf("verdict", "approve", "reject")
	Outcome   = few("outcome") // a closed set of each place that records one
	Status    = few("status")  // dito
	Desk      = few("desk")    // of the roster
	Dataset   = few("dataset") // of exports
	Place     = few("destination")
	EntryType = upTo(200, "type") // the code names them
	Sink      = few("sink")
	Source    = few("source") // of the source file
	EventKind = few("event")
	Detector  = few("detector")
	Severity  = oneOf("severity", "info", "low", "medium", "high", "critical")
	Change    = oneOf("change", "opened", "resolved")
	Subject   = oneOf("subject", "action", "delivery", "notification")
	Denied    = oneOf("denied", "authenticate", "authorize")
	Agent     = oneOf("agent", "triage", "remediate", "compliance", "audit_summary")
	Analyst   = oneOf("analyst", "rulebook", "model", "fallback")
	Provider  = few("provider")
	Model     = few("model")
	Direction = oneOf("direction", "input", "output")
	Field     = oneOf("field", "severity", "category", "action")
	Version   = few("version") // of an analyst
	Judgement = oneOf("judgement", "agreed", "ai_override", "manual_override")
	Signal    = oneOf("signal", Traces, Metrics)
	Pool      = oneOf("pool", "api", "worker", "sequencer") // of connections, by the role that it connects as
)

// Requests for approval, and what becomes of them.
var (
	RequestLatency = histogram("finobs.approval.request.latency",
		"From the signing of a request by the API until it is on record", waits, Family)
	DecisionLatency = histogram("finobs.approval.decision.latency",
		"From the signing of a decision by the API until it is on record", waits, Family)
	Decisions = counter("finobs.approval.decisions", "{decision}",
		"Decisions on record: verdict, and whether they counted; action is that of a remediation", Family, Action, Verdict, Outcome)
	OpenDuration = histogram("finobs.approval.open.duration",
		"How long requests were pending, by what they became", human, Family, Status)
	EffectLatency = histogram("finobs.approval.effect.latency",
		"From the decision that approved a request until its effect begins", waits, Family)
	Pending = gauge("finobs.approval.pending", "{request}",
		"Requests that are pending, without simulations")
	PendingAge = gauge("finobs.approval.pending.age", "s",
		"Age of the oldest request that is pending; nothing while none is")
	DeadlineIn = gauge("finobs.approval.deadline.remaining", "s",
		"Time until the next request that is pending expires; nothing while none is")
)

// Effects, and what is told of them.
var (
	Effects = counter("finobs.effects", "{effect}",
		"Effects by the last that is on record of them: intended, done, failed, unknown, denied", Family, Outcome)
	Unknown = gauge("finobs.outcomes.unknown", "{outcome}",
		"What may or may not have happened, and waits for a person", Subject)
	Queued = gauge("finobs.notification.queued", "{notification}",
		"Notifications that are not sent yet")
	QueuedAge = gauge("finobs.notification.queued.age", "s",
		"Age of the oldest notification that is not sent yet; nothing while there is none")
	Dead = gauge("finobs.notification.dead", "{notification}",
		"Notifications that were given up")
)

// Agents.
var (
	AgentRuns = counter("finobs.agent.runs", "{run}",
		"Runs of agents that ended, and who answered", Agent, Analyst, Status)
	AgentCalls = counter("finobs.agent.calls", "{call}",
		"Calls of models by what came back", Provider, Model, Outcome)
	AgentTokens = counter("finobs.agent.tokens", "{token}",
		"Tokens that models took and gave", Provider, Model, Direction, Desk)
	AgentCost = counter("finobs.agent.cost.usd", "{USD}",
		"What calls of models cost, as settled with the budget", Desk)
	Verdicts = counter("finobs.agent.verdicts", "{verdict}",
		"What people thought of an agent's output: agreement, or an override", Field, Action, Version, Judgement)
)

// Exports.
var (
	ExportRows = counter("finobs.export.rows", "{row}",
		"Rows of exports that were sealed", Dataset)
	ExportBytes = counter("finobs.export.bytes", "By",
		"Bytes of exports that were sealed, before compression", Dataset)
	ExportDuration = histogram("finobs.export.duration",
		"From the intent to export until the seal", waits, Dataset)
	ExportsOpen = gauge("finobs.export.unsealed", "{export}",
		"Exports that were begun and are neither sealed nor failed")
	Deliveries = counter("finobs.export.deliveries", "{delivery}",
		"Deliveries of exports that ended", Place, Status)
)

// The ledger, its log and who is fed from it.
var (
	Entries = counter("finobs.ledger.entries", "{entry}",
		"Entries of the ledger that workers wrote", EntryType)
	LogSize = gauge("finobs.log.size", "{entry}",
		"Entries that have their place in the log")
	LogSigned = gauge("finobs.log.signed", "{entry}",
		"Entries that the newest checkpoint covers")
	BeatAge = gauge("finobs.sequencer.beat.age", "s",
		"Since the sequencer that writes gave a sign of life; nothing before the first")
	Unsequenced = gauge("finobs.sequencer.behind", "{entry}",
		"Entries that wait for their place in the log; more than 10000 are shown as 10000")
	UnsequencedAge = gauge("finobs.sequencer.lag", "s",
		"Age of the oldest entry that waits for its place in the log; 0 while none does")
	SinkBehind = gauge("finobs.sink.behind", "{entry}",
		"Entries that a SIEM sink has not taken", Sink)
	SinkConnected = gauge("finobs.sink.connected", "",
		"1 while a SIEM sink is connected, 0 while it is not", Sink)
)

// What comes in, and what is found in it.
var (
	IntakeEvents = counter("finobs.intake.events", "{event}",
		"Events that sources reported, each once", Source, EventKind)
	FeedAge = gauge("finobs.feed.age", "s",
		"Since a source was heard of", Source)
	Findings = counter("finobs.detector.findings", "{finding}",
		"Conditions that held when a detector looked", Detector)
	Detected = counter("finobs.detector.incidents", "{incident}",
		"Incidents that detectors opened and resolved", Detector, Change)
	IncidentsOpen = gauge("finobs.incident.open", "{incident}",
		"Incidents that are neither resolved nor closed", Severity)
	Denials = counter("finobs.security.denials", "{denial}",
		"Requests that the API refused for want of a valid token or of a permission", Denied)
)

// Telemetry itself.
var (
	ExporterUp = gauge("finobs.telemetry.exporter.up", "",
		"1 while the collector takes what it is sent, 0 while it does not; nothing before the first answer", Signal)
	SpansDropped = counter("finobs.telemetry.spans.dropped", "{span}",
		"Spans that were not kept for the collector, or that it did not take")
)

// What libraries measure, by the semantic conventions of OpenTelemetry.
var (
	HTTPDuration = library(Histogram, "http.server.request.duration", "s",
		"How long the API took for requests, by the template of the route", short,
		"http.request.method", "http.route", "http.response.status_code")
	ModelDuration = library(Histogram, "http.client.request.duration", "s",
		"How long calls of a model took", waits,
		"http.request.method", "server.address", "http.response.status_code")
	SQLDuration = library(Histogram, "db.client.operation.duration", "s",
		"How long calls of the database took", short,
		"db.operation.name", Pool.Key)
	PoolMax = library(Gauge, "db.sql.connection.max_open", "",
		"Connections that a pool may have", nil, Pool.Key)
	PoolOpen = library(Gauge, "db.sql.connection.open", "",
		"Connections that a pool has, in use and idle", nil, Pool.Key, "status")
	PoolWaits = library(Counter, "db.sql.connection.wait", "",
		"How often somebody waited for a connection", nil, Pool.Key)
	PoolWaiting = library(Counter, "db.sql.connection.wait_duration", "ms",
		"How long was waited for connections", nil, Pool.Key)
)

// Attributes of spans, which may hold ids: spans are sent to a collector, and are no
// dimension of anything.
const (
	SpanApprovalID   = "finobs.approval.id"
	SpanRequestID    = "finobs.request.id"
	SpanEntryID      = "finobs.ledger.entry_id"
	SpanEntryType    = "finobs.ledger.type"
	SpanEntryTraceID = "finobs.ledger.trace_id" // of the entry: that of the request which caused it
	SpanSubjectKind  = "finobs.subject.kind"
	SpanSubjectID    = "finobs.subject.id"
)
