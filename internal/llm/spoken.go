package llm

import (
	"slices"
	"strings"

	"finobs/internal/agent"

	"github.com/go-json-experiment/json/jsontext"
)

// schemaNames are the names of fields that every answer has. They say nothing.
var schemaNames = []string{
	"category", "severity", "inconclusive", "summary", "probable_cause", "confidence", "claims", "proposals",
	"text", "cites", "evidence", "start", "end", quoteField, "action", "target", "parameters", "reason", "name", "value",
}

const quoteField = "quote"

// inWords is all that a model said in an answer.
func (r reply) inWords(bundle []agent.Evidence) string {
	words := spoken(r.text, bundle)
	for _, other := range r.others {
		words += spoken(other, bundle)
	}
	return words
}

// spoken is an answer in words, for those who look for attempts to steer in it: the
// values of its JSON with their escapes undone, a line each, those of parameters and of
// fields outside of the schema with their names. What is no JSON stands as it is. Quotes that stand
// in the evidence are left out, since the evidence is looked through itself.
func spoken(text string, bundle []agent.Evidence) string {
	var out strings.Builder
	dec := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	name := ""
	for {
		token, err := dec.ReadToken()
		if err != nil {
			if rest := text[min(int(dec.InputOffset()), len(text)):]; rest != "" {
				out.WriteString(rest + "\n")
			}
			return out.String()
		}
		if strings.ContainsRune("{}[]", rune(token.Kind())) {
			continue
		}
		said := token.String()
		if in, read := dec.StackIndex(dec.StackDepth()); in == '{' && read%2 == 1 {
			if name = said; !slices.Contains(schemaNames, name) {
				out.WriteString(`"` + name + `": `)
			}
			continue
		}
		if name == quoteField && slices.ContainsFunc(bundle, func(e agent.Evidence) bool { return strings.Contains(e.Text, said) }) {
			continue
		}
		if name == "name" { // of a parameter, whose value follows
			out.WriteString(`"` + said + `": `)
			continue
		}
		out.WriteString(said + "\n")
	}
}
