package llm

import "time"

// parameters are those that an exchange is made with.
func (s settled) parameters() Parameters {
	p := Parameters{Temperature: "0", MaxOutputTokens: s.MaxOutputTokens, Structure: s.Structure}
	if s.Provider == Ollama {
		p.ContextTokens = s.ContextTokens
	}
	return p
}

// defaultContext is used where no exchange says otherwise, and nobody is asked.
const defaultContext = 32768

// ConfigOf is the settings under which a recorded exchange was made, as far as a
// replay needs them.
func ConfigOf(x Exchange) Config {
	c := Config{
		Provider: x.Provider, Model: x.Model, BaseURL: x.BaseURL, Structure: x.Parameters.Structure, MaxOutputTokens: x.Parameters.MaxOutputTokens,
		ContextTokens: x.Parameters.ContextTokens, MaxPromptBytes: 1 << 20, Timeout: time.Minute, AllowPrivate: true, Free: true,
	}
	if c.ContextTokens == 0 {
		c.ContextTokens = defaultContext
	}
	return c
}
