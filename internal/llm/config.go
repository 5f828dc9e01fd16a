package llm

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"finobs/internal/budget"
	"finobs/internal/outbound"

	"github.com/shopspring/decimal"
)

// Provider is whose wire form is spoken.
type Provider string

// The closed set of providers.
const (
	OpenAI     Provider = "openai"
	Anthropic  Provider = "anthropic"
	Ollama     Provider = "ollama"
	Google     Provider = "google"     // by its OpenAI-compatible address
	Compatible Provider = "compatible" // any server that speaks OpenAI's form
)

// providers are what is known of each provider.
var providers = map[Provider]struct {
	baseURL   string // empty: it must be configured
	structure Structure
	needsKey  bool
}{
	OpenAI:     {"https://api.openai.com/v1", BySchema, true},
	Anthropic:  {"https://api.anthropic.com/v1", ByTool, true},
	Ollama:     {"http://127.0.0.1:11434", ByWords, false},
	Google:     {"https://generativelanguage.googleapis.com/v1beta/openai", BySchema, true},
	Compatible: {"", BySchema, false},
}

// Structure is how the model is made to answer in the form of the schema.
type Structure string

// The closed set of structures.
const (
	BySchema Structure = "schema" // response_format json_schema
	ByTool   Structure = "tool"   // a tool whose arguments are the answer
	ByWords  Structure = "words"  // JSON mode, the schema in the instructions
)

// Secret is a key. However it is printed, it stays hidden. It lies behind a
// pointer because fmt calls no methods of unexported fields: it would print a
// string that is inside an Analyst.
type Secret struct{ text *string }

const hidden = "(hidden)"

// NewSecret hides a key.
func NewSecret(key string) Secret { return Secret{&key} }

// reveal is the key; empty when there is none.
func (s Secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// in reports whether the key stands in a text.
func (s Secret) in(text string) bool {
	return s.reveal() != "" && strings.Contains(text, s.reveal())
}

// String implements fmt.Stringer.
func (Secret) String() string { return hidden }

// Format implements fmt.Formatter, for the verbs that know no String.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// MarshalText implements encoding.TextMarshaler, for JSON, YAML and slog.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// UnmarshalText implements encoding.TextUnmarshaler, for settings.
func (s *Secret) UnmarshalText(key []byte) error {
	*s = NewSecret(string(key))
	return nil
}

// Config are the settings of a model. See docs/models.md.
type Config struct {
	Provider        Provider      `env:"FINOBS_MODEL_PROVIDER"`                            // empty: no model, the rulebook answers
	Model           string        `env:"FINOBS_MODEL"`                                     // as the provider names it
	BaseURL         string        `env:"FINOBS_MODEL_BASE_URL"`                            // empty: the provider's own
	KeyFile         string        `env:"FINOBS_MODEL_KEY_FILE"`                            // path of the key, mode 0600
	Key             Secret        `env:"FINOBS_MODEL_KEY"`                                 // the key itself; a file is better
	Structure       Structure     `env:"FINOBS_MODEL_STRUCTURE"`                           // empty: the provider's best
	MaxOutputTokens int           `env:"FINOBS_MODEL_MAX_OUTPUT_TOKENS" envDefault:"4096"` // of one answer
	MaxPromptBytes  int           `env:"FINOBS_MODEL_MAX_PROMPT_BYTES" envDefault:"98304"` // of all messages of a call
	ContextTokens   int           `env:"FINOBS_MODEL_CONTEXT_TOKENS" envDefault:"32768"`   // of Ollama, which cuts longer prompts silently
	Timeout         time.Duration `env:"FINOBS_MODEL_TIMEOUT" envDefault:"60s"`            // of one call, its body included
	AllowPrivate    bool          `env:"FINOBS_MODEL_ALLOW_PRIVATE"`                       // also http, this machine and private networks; implied by ollama
	Proxy           string        `env:"FINOBS_MODEL_PROXY"`                               // URL; HTTP_PROXY and its kin are ignored
	PriceInput      string        `env:"FINOBS_MODEL_PRICE_INPUT"`                         // USD per million tokens, such as 2.50
	PriceOutput     string        `env:"FINOBS_MODEL_PRICE_OUTPUT"`                        // USD per million tokens
	Budget          string        `env:"FINOBS_MODEL_BUDGET"`                              // path of the budget file; empty: the shipped one
	Free            bool          `env:"FINOBS_MODEL_FREE"`                                // tokens cost nothing; implied by ollama
}

// Enabled reports whether a model is configured at all.
func (c Config) Enabled() bool { return c.Provider != "" }

// Limits reads the budget file that is configured, or the shipped one.
func (c Config) Limits() (budget.Limits, error) {
	if c.Budget == "" {
		return budget.Default(), nil
	}
	file, err := os.Open(c.Budget)
	if err != nil {
		return nil, fmt.Errorf("FINOBS_MODEL_BUDGET: %w", err)
	}
	defer file.Close()
	limits, err := budget.Load(file)
	if err != nil {
		return nil, fmt.Errorf("FINOBS_MODEL_BUDGET: %s: %w", c.Budget, err)
	}
	return limits, nil
}

// settled is a Config whose relations hold.
type settled struct {
	Config
	base  *url.URL
	proxy *url.URL // nil: none
	price price
}

// settle fills what is implied and refuses what contradicts itself. The key file
// is read only when a network is used: a replay needs no key.
func (c Config) settle(network bool) (settled, error) {
	known, ok := providers[c.Provider]
	if !ok {
		return settled{}, fmt.Errorf("FINOBS_MODEL_PROVIDER %q must be openai, anthropic, ollama, google or compatible", c.Provider)
	}
	s := settled{Config: c}
	if s.Structure == "" {
		s.Structure = known.structure
	}
	if s.BaseURL == "" {
		s.BaseURL = known.baseURL
	}
	if c.Provider == Ollama {
		s.AllowPrivate, s.Free = true, c.PriceInput == "" && c.PriceOutput == ""
	}
	if err := s.bounds(); err != nil {
		return settled{}, err
	}
	var err error
	if s.base, err = outbound.ParseURL(s.BaseURL, s.AllowPrivate, "put the key into FINOBS_MODEL_KEY_FILE"); err == nil && s.base.RawQuery != "" {
		err = fmt.Errorf("a ?query in it would be logged; leave it out")
	}
	if err != nil {
		return settled{}, fmt.Errorf("FINOBS_MODEL_BASE_URL: %w (private addresses want FINOBS_MODEL_ALLOW_PRIVATE=true)", err)
	}
	s.base.Path = strings.TrimRight(s.base.Path, "/")
	if c.Proxy != "" {
		if s.proxy, err = outbound.ParseURL(c.Proxy, true, "proxies with a password are not supported"); err != nil {
			return settled{}, fmt.Errorf("FINOBS_MODEL_PROXY: %w", err)
		}
	}
	if s.price, err = s.readPrice(); err != nil {
		return settled{}, err
	}
	if network {
		err = s.readKey(known.needsKey)
	}
	return s, err
}

func (s *settled) bounds() error {
	switch {
	case s.Model == "" || len(s.Model) > 200:
		return fmt.Errorf("FINOBS_MODEL must name a model of %s, in up to 200 bytes", s.Provider)
	case s.BaseURL == "":
		return fmt.Errorf("FINOBS_MODEL_BASE_URL must be set for provider %s", s.Provider)
	case s.Structure != BySchema && s.Structure != ByTool && s.Structure != ByWords:
		return fmt.Errorf("FINOBS_MODEL_STRUCTURE %q must be schema, tool or words", s.Structure)
	case s.Structure == BySchema && (s.Provider == Anthropic || s.Provider == Ollama):
		return fmt.Errorf("FINOBS_MODEL_STRUCTURE schema is not spoken with %s; leave it out", s.Provider)
	case s.Structure == ByTool && s.Provider == Ollama:
		return fmt.Errorf("FINOBS_MODEL_STRUCTURE tool is not spoken with ollama; leave it out, or use provider compatible with its address /v1")
	case s.MaxOutputTokens < 256 || s.MaxOutputTokens > 65536:
		return fmt.Errorf("FINOBS_MODEL_MAX_OUTPUT_TOKENS %d must lie between 256 and 65536", s.MaxOutputTokens)
	case s.MaxPromptBytes < 8192 || s.MaxPromptBytes > 1<<20:
		return fmt.Errorf("FINOBS_MODEL_MAX_PROMPT_BYTES %d must lie between 8192 and %d", s.MaxPromptBytes, 1<<20)
	case s.ContextTokens < 2048 || s.ContextTokens > 1<<21:
		return fmt.Errorf("FINOBS_MODEL_CONTEXT_TOKENS %d must lie between 2048 and %d", s.ContextTokens, 1<<21)
	case s.Timeout < time.Millisecond || s.Timeout > 10*time.Minute:
		return fmt.Errorf("FINOBS_MODEL_TIMEOUT %s must lie between 1ms and 10m", s.Timeout)
	}
	return nil
}

func (s *settled) readKey(needed bool) error {
	if s.KeyFile != "" && s.Key.reveal() != "" {
		return fmt.Errorf("FINOBS_MODEL_KEY_FILE and FINOBS_MODEL_KEY are both set; keep the file")
	}
	if s.KeyFile != "" {
		key, err := outbound.ReadSecret(s.KeyFile)
		if err != nil {
			return fmt.Errorf("FINOBS_MODEL_KEY_FILE: %w", err)
		}
		s.Key = NewSecret(string(key))
	}
	key := s.Key.reveal()
	if key == "" && needed {
		return fmt.Errorf("provider %s wants a key: set FINOBS_MODEL_KEY_FILE", s.Provider)
	}
	if key != "" && len(key) < 8 {
		return fmt.Errorf("the key of the model has %d bytes; that is no key", len(key)) // and it would be found in every text
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' || key[i] == '"' || key[i] == '\\' {
			return fmt.Errorf("the key of the model has a character that no key has, at byte %d", i)
		}
	}
	return nil
}

// price is what a million tokens cost, in US dollars.
type price struct {
	input, output decimal.Decimal
	known         bool
}

func (s *settled) readPrice() (price, error) {
	if s.Free {
		return price{known: true}, nil
	}
	if s.PriceInput == "" && s.PriceOutput == "" {
		return price{}, nil
	}
	input, err := readAmount("FINOBS_MODEL_PRICE_INPUT", s.PriceInput)
	if err != nil {
		return price{}, err
	}
	output, err := readAmount("FINOBS_MODEL_PRICE_OUTPUT", s.PriceOutput)
	return price{input, output, true}, err
}

func readAmount(name, text string) (decimal.Decimal, error) {
	d, err := decimal.NewFromString(text)
	if err != nil || len(text) > 16 || strings.ContainsAny(text, "eE+-") {
		return d, fmt.Errorf("%s %.20q must be US dollars per million tokens, such as 2.50; set both prices", name, text)
	}
	return d, nil
}

// of is what tokens cost.
func (p price) of(input, output int64) decimal.Decimal {
	return p.input.Mul(decimal.NewFromInt(input)).Add(p.output.Mul(decimal.NewFromInt(output))).Shift(-6)
}
