// Package config reads the settings of the processes from the environment, and
// from a file .env beside where they start when there is one. What the
// environment says wins over the file.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// Temporal says where the Temporal server is.
type Temporal struct {
	Address   string `env:"TEMPORAL_ADDRESS" envDefault:"127.0.0.1:7233"`
	Namespace string `env:"TEMPORAL_NAMESPACE" envDefault:"default"`
}

// Telemetry are the settings of a process's telemetry, beside the variables of
// OpenTelemetry, which its exporters read themselves.
type Telemetry struct {
	MetricsListen string `env:"FINOBS_METRICS_LISTEN"` // address of GET /metrics, host:port; empty: none
	PprofAddress  string `env:"FINOBS_PPROF_ADDRESS"`  // address of profiles, host:port on loopback; empty: none
}

// API are the settings of finobs api.
type API struct {
	Temporal
	Telemetry
	Streams
	Listen         string        `env:"FINOBS_LISTEN" envDefault:"127.0.0.1:8080"`
	DatabaseURL    string        `env:"FINOBS_API_DATABASE_URL,required"` // as role finobs_api
	DecisionKey    string        `env:"FINOBS_DECISION_KEY,required"`     // the key that signs decisions, see keys.Open
	IdentityKeys   []string      `env:"FINOBS_IDENTITY_KEYS"`             // paths of public keys that sign tokens of finobs token, for development databases
	OIDCFile       string        `env:"FINOBS_OIDC_FILE"`                 // path of the file of trusted identity providers
	SessionKeys    []string      `env:"FINOBS_SESSION_KEY"`               // paths of the keys that seal sessions, the first seals; empty: sessions end with the process
	SessionIdle    time.Duration `env:"FINOBS_SESSION_IDLE" envDefault:"30m"`
	SessionMax     time.Duration `env:"FINOBS_SESSION_MAX" envDefault:"8h"`
	PublicURL      string        `env:"FINOBS_PUBLIC_URL"`            // where people reach the API; providers send them back there
	TemporalUI     string        `env:"FINOBS_TEMPORAL_UI"`           // base URL of the Temporal Web UI, which the console links to; empty: no links
	ArtefactDir    string        `env:"FINOBS_ARTEFACT_DIR,required"` // where the worker puts exports
	SpoolDir       string        `env:"FINOBS_SPOOL_DIR,required"`    // where received files wait for the worker
	Sources        string        `env:"FINOBS_SOURCES"`               // path of the source file; empty: a source of each kind, for callers with a token
	AnswerWait     time.Duration `env:"FINOBS_ANSWER_WAIT" envDefault:"3s"`
	ManifestPublic []string      `env:"FINOBS_MANIFEST_PUBLIC_KEY,required"` // paths of the public keys that exports are sealed with, new and old
	ReconProfiles  string        `env:"FINOBS_RECON_PROFILES"`               // folder of reconciliation profiles beside the shipped ones; the worker has the same
	DevInsecure    bool          `env:"FINOBS_DEV_INSECURE"`
}

// Streams are the settings of streams; docs/streams.md explains them.
type Streams struct {
	Origins          []string `env:"FINOBS_ORIGINS"`                            // of pages that may open streams, beside the API's own
	StreamBuffer     int      `env:"FINOBS_STREAM_BUFFER" envDefault:"8192"`    // events that a consumer may be behind
	StreamsPerPerson int      `env:"FINOBS_STREAMS_PER_PERSON" envDefault:"20"` // open at once at one API process
	StreamsInTotal   int      `env:"FINOBS_STREAMS_IN_TOTAL" envDefault:"5000"` // open at once at one API process
}

// Worker are the settings of finobs worker.
type Worker struct {
	Temporal
	Telemetry
	DatabaseURL    string   `env:"FINOBS_WORKER_DATABASE_URL,required"` // as role finobs_worker
	DecisionPublic []string `env:"FINOBS_DECISION_PUBLIC_KEY,required"` // paths of the public halves of the API's keys, old and new
	ArtefactDir    string   `env:"FINOBS_ARTEFACT_DIR,required"`
	SpoolDir       string   `env:"FINOBS_SPOOL_DIR,required"`
	ManifestKey    string   `env:"FINOBS_MANIFEST_KEY"`        // the key that seals exports, see keys.Open; not needed with --record-only
	ManifestPublic []string `env:"FINOBS_MANIFEST_PUBLIC_KEY"` // paths of older public keys, to verify what they sealed
	LogTrust       string   `env:"FINOBS_LOG_TRUST"`           // path of the file of keys that sign the log: lines of VKEY FIRST LAST
	Destinations   string   `env:"FINOBS_DESTINATIONS"`        // path of the destination file; empty: exports stay in their own store
	Policies       string   `env:"FINOBS_POLICIES"`            // path of the policy file that a new database starts with; empty: the shipped one
	Roster         string   `env:"FINOBS_ROSTER"`              // path of the roster that a new database starts with; empty: nobody
	Channels       string   `env:"FINOBS_CHANNELS"`            // path of the channel file; empty: nobody is told anything
	DeskFile       string   `env:"FINOBS_DESK_FILE"`           // path of the desk file; empty: the shipped one
	PublicURL      string   `env:"FINOBS_PUBLIC_URL"`          // where people reach the API, for links in notifications
	ReconProfiles  string   `env:"FINOBS_RECON_PROFILES"`      // folder of reconciliation profiles beside the shipped ones; the API has the same
	Agents
}

// Agents are the settings of agents and of what they plan.
type Agents struct {
	Connectors      string        `env:"FINOBS_CONNECTORS"`                      // path of the connector file; empty: no system of a desk can be reached
	Rulebook        string        `env:"FINOBS_RULEBOOK"`                        // path of the rulebook of triage; empty: the shipped one
	ComplianceRules string        `env:"FINOBS_COMPLIANCE_RULES"`                // path of the rules of compliance; empty: the shipped ones
	Sanctions       string        `env:"FINOBS_SANCTIONS"`                       // folder with sdn.csv, alt.csv and add.csv; empty: names are not screened
	Recovery        time.Duration `env:"FINOBS_ACTION_RECOVERY" envDefault:"5m"` // how long a target has to get well after an action
}

// Sequencer are the settings of finobs sequencer.
type Sequencer struct {
	Telemetry
	DatabaseURL string   `env:"FINOBS_SEQUENCER_DATABASE_URL,required"` // as role finobs_sequencer
	LogKeys     []string `env:"FINOBS_LOG_KEYS,required"`               // keys that sign checkpoints, all of them each
	LogOrigin   string   `env:"FINOBS_LOG_ORIGIN" envDefault:"finobs"`  // name of the log in checkpoints
	LogState    string   `env:"FINOBS_LOG_STATE,required"`              // path of the file that keeps what was signed last, on this host
	Sinks       string   `env:"FINOBS_SINKS"`                           // path of the SIEM sink file; empty: none
}

// Migrate are the settings of finobs migrate.
type Migrate struct {
	Temporal
	DatabaseURL string `env:"FINOBS_MIGRATE_DATABASE_URL,required"` // as a role that may become finobs_owner
}

// Doctor are the settings of finobs doctor, which reads what the API reads.
type Doctor struct {
	Temporal
	DatabaseURL    string   `env:"FINOBS_API_DATABASE_URL,required"`
	DecisionPublic []string `env:"FINOBS_DECISION_PUBLIC_KEY,required"`
}

// Load reads the settings of type T from the environment.
func Load[T any]() (T, error) {
	var c T
	if err := godotenv.Load(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("reading .env: %w", err)
	}
	return Parse[T](env.ToMap(os.Environ()))
}

// Parse reads the settings of type T from names and values.
func Parse[T any](values map[string]string) (T, error) {
	var c T
	if err := env.ParseWithOptions(&c, env.Options{Environment: values}); err != nil {
		return c, fmt.Errorf("reading settings: %w (docs/configuration.md lists them)", err)
	}
	return c, nil
}

// Loopback reports whether nobody outside this machine can reach a listen
// address.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
