package console

import "time"

// logStatus is how the log is doing.
type logStatus struct {
	BeatAt     *time.Time `json:"beat_at"`
	Refused    string     `json:"refused"`
	Size       int64      `json:"size"`
	SignedSize int64      `json:"signed_size"`
}

// systems is how finobs and what it leans on are doing.
type systems struct {
	State      string      `json:"state"`
	At         time.Time   `json:"at"`
	Components []component `json:"components"`
}

type component struct {
	ID         string     `json:"id"`
	Kind       string     `json:"kind"`
	Name       string     `json:"name"`
	State      string     `json:"state"`
	Detail     string     `json:"detail"`
	Since      time.Time  `json:"since"`
	EvidenceAt *time.Time `json:"evidence_at"`
	LatencyMS  *float64   `json:"latency_ms"`
	ImpactedBy []string   `json:"impacted_by"`
}

// approvalFigures are the figures of requests for approval and of agents.
type approvalFigures struct {
	Live       figures           `json:"live"`
	Simulation figures           `json:"simulation"`
	OldestSec  *float64          `json:"oldest_pending_seconds"`
	ByApprover []approverFigures `json:"by_approver"`
	Actions    []actionFigures   `json:"actions"`
	Verdicts   []verdictFigures  `json:"verdicts"`
}

type figures struct {
	Requests     int64                       `json:"requests"`
	ByStatus     map[string]int64            `json:"by_status"`
	ByKind       map[string]map[string]int64 `json:"by_kind"`
	Latency      latency                     `json:"decision_latency_seconds"`
	ExpiryRate   *float64                    `json:"expiry_rate"`
	RejectRate   *float64                    `json:"reject_rate"`
	OverrideRate *float64                    `json:"override_rate"`
}

type latency struct {
	N   int64    `json:"n"`
	P50 *float64 `json:"p50"`
	P90 *float64 `json:"p90"`
	P99 *float64 `json:"p99"`
	Max *float64 `json:"max"`
}

type approverFigures struct {
	Approver  *person `json:"approver"`
	Approved  int64   `json:"approved"`
	Rejected  int64   `json:"rejected"`
	Refused   int64   `json:"refused"`
	Delegated int64   `json:"delegated"`
}

type actionFigures struct {
	Action     string   `json:"action"`
	Version    string   `json:"agent_version"`
	Simulation bool     `json:"is_simulation"`
	Planned    int64    `json:"planned"`
	Approved   int64    `json:"approved"`
	Rejected   int64    `json:"rejected"`
	Agreement  *float64 `json:"agreement_rate"`
	Done       int64    `json:"done"`
	Failed     int64    `json:"failed"`
	Unknown    int64    `json:"unknown"`
	Recovered  int64    `json:"recovered"`
}

type verdictFigures struct {
	Field      string `json:"field"`
	Version    string `json:"agent_version"`
	Agreed     int64  `json:"agreed"`
	AIOverride int64  `json:"ai_override"`
}

// incidentFigures are the figures of incidents.
type incidentFigures struct {
	Incidents   int64            `json:"incidents"`
	ByStatus    map[string]int64 `json:"by_status"`
	BySeverity  map[string]int64 `json:"by_severity"`
	ByKind      map[string]int64 `json:"by_kind"`
	ByOwner     map[string]int64 `json:"by_owner"`
	Acknowledge spans            `json:"time_to_acknowledge_seconds"`
	Resolve     spans            `json:"time_to_resolve_seconds"`
	SLA         struct {
		Acknowledge promise `json:"acknowledge"`
		Resolve     promise `json:"resolve"`
	} `json:"sla"`
}

type spans struct {
	N    int64    `json:"n"`
	Mean *float64 `json:"mean"`
	P50  *float64 `json:"p50"`
	P95  *float64 `json:"p95"`
}

type promise struct {
	Met      int64    `json:"met"`
	Breached int64    `json:"breached"`
	Pending  int64    `json:"pending"`
	MetRate  *float64 `json:"met_rate"`
}

// breakFigures are the open trade breaks.
type breakFigures struct {
	Open  int64       `json:"open"`
	Items []breakAges `json:"items"`
}

type breakAges struct {
	Type string           `json:"type"`
	Open int64            `json:"open"`
	Ages map[string]int64 `json:"ages"`
}
