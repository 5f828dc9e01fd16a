package llm

// Outcomes of an exchange beside the codes of faults.
const (
	Accepted  = "accepted"  // the answer passed the check
	Refused   = "refused"   // it did not; a repair may follow
	Cancelled = "cancelled" // the caller gave up
)

// Exchange is one call as it was on the wire, to be kept as a blob. It holds no
// header that proves who we are.
type Exchange struct {
	Provider     Provider   `json:"provider"`
	Model        string     `json:"model"`
	BaseURL      string     `json:"base_url"`
	Parameters   Parameters `json:"parameters"`
	PromptSHA256 string     `json:"prompt_sha256"` // of the messages, hexadecimal
	SchemaSHA256 string     `json:"schema_sha256"` // of the schema that was asked for

	Method     string `json:"method"`
	Path       string `json:"path"`
	Request    []byte `json:"request"`               // the body as it was sent; null: nothing was
	Status     int    `json:"status"`                // of HTTP; 0: no answer came
	RetryAfter string `json:"retry_after,omitempty"` // the header, at most 100 bytes
	// Response is the body as it was received. It is null when none came whole, or
	// when it held the key.
	Response []byte `json:"response"`

	Reported  Tokens `json:"reported"`        // what the provider said
	Estimated Tokens `json:"estimated"`       // what the bytes suggest
	Charged   Tokens `json:"charged"`         // what the budget was charged
	Millis    int64  `json:"duration_millis"` // from the request to the end of the answer
	Outcome   string `json:"outcome"`         // one of the above, or the code of a fault
}

// Parameters are those of the sampling.
type Parameters struct {
	Temperature     string    `json:"temperature"` // always "0"; reasoning models of OpenAI take none
	MaxOutputTokens int       `json:"max_output_tokens"`
	Structure       Structure `json:"structure"`
	ContextTokens   int       `json:"context_tokens,omitempty"` // of Ollama alone
}

// Tokens are counts of tokens.
type Tokens struct {
	Input  int64 `json:"input"`
	Output int64 `json:"output"`
}

// Total is the sum of both.
func (t Tokens) Total() int64 { return t.Input + t.Output }

// overhead is how many tokens a provider may add to the messages and the schema
// for roles and separators.
const overhead = 256

// worst is the most tokens that a call can take: no tokenizer makes more than one
// of a byte.
func (a *Analyst) worst(p prompt) Tokens {
	return Tokens{Input: int64(p.size()) + overhead, Output: int64(a.config.MaxOutputTokens)}
}

// estimate is how many tokens texts of these sizes usually are.
func estimate(input, output int) Tokens {
	return Tokens{Input: int64(input+2) / 3, Output: int64(output+2) / 3}
}

// charge is what a provider's report is believed of. One that counts nothing gets
// the estimate; one that counts less than an eighth of the bytes, or more than
// the worst, gets that.
func charge(reported, estimated, worst Tokens, inputBytes, outputBytes int) Tokens {
	one := func(reported, estimated, worst int64, bytes int) int64 {
		if reported <= 0 {
			return min(estimated, worst)
		}
		return min(max(reported, int64(bytes)/8), worst)
	}
	return Tokens{
		Input:  one(reported.Input, estimated.Input, worst.Input, inputBytes),
		Output: one(reported.Output, estimated.Output, worst.Output, outputBytes),
	}
}
