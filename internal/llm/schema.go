package llm

import (
	"encoding/json"

	"finobs/internal/agent"
	"finobs/internal/desk"

	"github.com/tmc/langchaingo/llms/openai"
)

// answerTool is the name of the schema and of the tool whose arguments are the
// answer.
const answerTool = "answer"

// property is a part of a JSON schema, in the form that langchaingo sends. It has
// no lengths and no patterns: those are checked when an answer is read.
type property = openai.ResponseFormatJSONSchemaProperty

// schemaOf is the JSON schema of answers about a bundle. Strict structured output
// wants every field required and no open objects, so that parameters are a list
// of names and values. Ids that may be cited, targets and actions are enumerated;
// what is checked afterwards is checked all the same.
func schemaOf(bundle []agent.Evidence, catalogue []ActionDoc) *property {
	var ids, targets, actions []any
	for _, e := range bundle {
		ids = append(ids, e.ID)
		if e.Kind == agent.OfTarget {
			targets = append(targets, e.ID)
		}
	}
	for _, a := range catalogue {
		actions = append(actions, a.Name)
	}
	text := func() *property { return &property{Type: "string"} }
	whole := func() *property { return &property{Type: "integer"} }
	cite := object(fields{
		"evidence": {Type: "string", Enum: ids}, "start": whole(), "end": whole(), "quote": text(),
	}, "evidence", "start", "end", "quote")
	cite.Description = "a span of an evidence's text, in bytes, end exclusive, and its words"
	claim := object(fields{"text": text(), "cites": list(cite)}, "text", "cites")
	parameter := object(fields{"name": text(), "value": text()}, "name", "value")
	proposal := object(fields{
		"action": {Type: "string", Enum: actions}, "target": {Type: "string", Enum: targets},
		"parameters": list(parameter), "reason": text(),
	}, "action", "target", "parameters", "reason")
	var categories, severities []any
	for _, c := range agent.Categories() {
		categories = append(categories, string(c))
	}
	for _, s := range desk.Severities() {
		severities = append(severities, string(s))
	}
	return object(fields{
		"category": {Type: "string", Enum: categories}, "severity": {Type: "string", Enum: severities},
		"inconclusive": {Type: "boolean"}, "summary": text(), "probable_cause": text(),
		"confidence": {Type: "string", Description: `from "0.00" to "1.00", two decimals`},
		"claims":     list(claim), "proposals": list(proposal),
	}, "category", "severity", "inconclusive", "summary", "probable_cause", "confidence", "claims", "proposals")
}

type fields map[string]*property

func object(f fields, required ...string) *property {
	return &property{Type: "object", Properties: f, Required: required}
}

func list(of *property) *property { return &property{Type: "array", Items: of} }

// bytesOf are the bytes of a schema: map keys are sorted, so that one schema has
// one digest.
func bytesOf(schema *property) []byte {
	b, err := json.Marshal(schema)
	if err != nil {
		panic("llm: a schema of strings: " + err.Error()) // strings and lists have a JSON form
	}
	return b
}
