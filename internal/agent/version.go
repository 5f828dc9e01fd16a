package agent

import "strings"

// Version is what an agent's judgement depends on besides the evidence. It is on
// record with each run: the same version over the same evidence is comparable.
type Version struct {
	Analyst        string `json:"analyst"`                   // such as "rulebook/triage@1" or "llm/openai"
	Model          string `json:"model,omitempty"`           // as the provider names it; empty for a rulebook
	RulebookSHA256 string `json:"rulebook_sha256,omitempty"` // of the file's bytes, hexadecimal
	PromptSHA256   string `json:"prompt_sha256,omitempty"`   // of the instructions to a model
	SchemaSHA256   string `json:"schema_sha256,omitempty"`   // of the schema of its output
}

// String is the version in one line, digests cut to 12 digits: "rulebook/triage@1
// sha256:0123456789ab" or "llm/openai model=gpt-5 prompt=sha256:… schema=sha256:…".
func (v Version) String() string {
	parts := []string{v.Analyst}
	for _, p := range []struct{ name, value string }{
		{"", digest12(v.RulebookSHA256)}, {"model=", v.Model}, {"prompt=", digest12(v.PromptSHA256)}, {"schema=", digest12(v.SchemaSHA256)},
	} {
		if p.value != "" {
			parts = append(parts, p.name+p.value)
		}
	}
	return strings.Join(parts, " ")
}

func digest12(sum string) string {
	if sum == "" {
		return ""
	}
	return "sha256:" + sum[:min(12, len(sum))]
}
