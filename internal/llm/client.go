package llm

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/llms/anthropic"
	"github.com/tmc/langchaingo/llms/ollama"
	"github.com/tmc/langchaingo/llms/openai"
)

// noKey is what the clients hold in the place of a key: they refuse to go without
// one. The transport puts the real one in, or none.
const noKey = "none"

// client makes langchaingo's client for one call. It only holds settings; the
// connections are those of the transport. Each setting is given, because what is
// not is read from the environment.
func (a *Analyst) client(schema *property) (llms.Model, error) {
	base := a.config.base.String()
	switch a.config.Provider {
	case Anthropic:
		return anthropic.New(anthropic.WithToken(noKey), anthropic.WithModel(a.config.Model), anthropic.WithBaseURL(base),
			anthropic.WithHTTPClient(a.http))
	case Ollama:
		// The server's context is set, because it cuts what is longer without a word.
		return ollama.New(ollama.WithModel(a.config.Model), ollama.WithServerURL(base), ollama.WithHTTPClient(a.http),
			ollama.WithRunnerNumCtx(a.config.ContextTokens))
	case OpenAI, Google, Compatible:
		options := []openai.Option{
			openai.WithToken(noKey), openai.WithModel(a.config.Model), openai.WithBaseURL(base), openai.WithOrganization(""),
			openai.WithAPIType(openai.APITypeOpenAI), openai.WithHTTPClient(a.http),
		}
		if a.config.Structure == BySchema {
			options = append(options, openai.WithResponseFormat(&openai.ResponseFormat{
				Type:       "json_schema",
				JSONSchema: &openai.ResponseFormatJSONSchema{Name: answerTool, Strict: true, Schema: schema},
			}))
		}
		return openai.New(options...)
	}
	return nil, fmt.Errorf("provider %q has no client", a.config.Provider) // settle refuses it
}

// options are those of one call.
func (a *Analyst) options(schema *property) []llms.CallOption {
	out := []llms.CallOption{llms.WithModel(a.config.Model), llms.WithTemperature(0), llms.WithMaxTokens(a.config.MaxOutputTokens)}
	if a.config.Provider == Compatible || a.config.Provider == Google {
		out = append(out, openai.WithLegacyMaxTokensField()) // max_tokens, which older servers know alone
	}
	switch a.config.Structure {
	case ByTool:
		out = append(out, llms.WithTools([]llms.Tool{{
			Type:     "function",
			Function: &llms.FunctionDefinition{Name: answerTool, Description: "gives the answer", Parameters: schema},
		}}))
		if a.config.Provider != Anthropic { // whose client has no field for it; the instructions ask for the call
			out = append(out, llms.WithToolChoice(llms.ToolChoice{Type: "function", Function: &llms.FunctionReference{Name: answerTool}}))
		}
	case ByWords:
		if a.config.Provider != Anthropic { // who has no JSON mode
			out = append(out, llms.WithJSONMode())
		}
	case BySchema:
	}
	return out
}

// reply is what a model said, before it is read.
type reply struct {
	text     string
	others   []string // what it said beside the text: calls of tools that were not offered, other choices
	problem  string   // why it is not worth reading; empty: it is
	hopeless bool     // and asking again would not help
	reported Tokens
}

// generate makes the call. A client that panics over what a server sent, as some
// do over null choices, has read no answer.
func (a *Analyst) generate(ctx context.Context, p prompt) (out reply, err error) {
	defer func() {
		if recover() != nil { // the value may quote the answer
			err = errEnvelope
		}
	}()
	model, err := a.client(p.schema)
	if err != nil {
		return reply{}, err
	}
	response, err := model.GenerateContent(ctx, p.messages(), a.options(p.schema)...)
	if err != nil {
		return reply{}, err
	}
	return a.readReply(response), nil
}

// readReply finds the answer among the choices of a response.
func (a *Analyst) readReply(response *llms.ContentResponse) reply {
	var out reply
	answers := 0
	text := ""
	stop := ""
	for _, choice := range response.Choices {
		stop = choice.StopReason
		out.reported = reportedBy(choice.GenerationInfo)
		out.others = append(out.others, choice.Content)
		if text == "" {
			text = choice.Content
		}
		for _, call := range choice.ToolCalls {
			if a.config.Structure != ByTool || call.FunctionCall == nil || call.FunctionCall.Name != answerTool {
				out.problem = "the answer calls a tool that was not offered"
				if f := call.FunctionCall; f != nil {
					out.others = append(out.others, `calls "tool_calls": `+f.Name, f.Arguments)
				}
				continue
			}
			answers++
			out.text = call.FunctionCall.Arguments
			out.others = append(out.others, out.text)
		}
	}
	if answers == 0 {
		out.text = text
	}
	out.others = slices.DeleteFunc(out.others, func(s string) bool { return s == out.text })
	switch {
	case strings.EqualFold(stop, "content_filter") || strings.EqualFold(stop, "refusal") || strings.EqualFold(stop, "safety"):
		out.problem, out.hopeless = "the provider withheld the answer", true
	case strings.EqualFold(stop, "length") || strings.EqualFold(stop, "max_tokens"):
		out.problem = fmt.Sprintf("the answer was cut off after %d tokens: be shorter", a.config.MaxOutputTokens)
	case out.problem == "" && answers > 1:
		out.problem = "the answer was given more than once"
	case out.problem == "" && strings.TrimSpace(out.text) == "":
		out.problem, out.hopeless = "the model gave no answer", true
	}
	return out
}

// reportedBy reads the counts of tokens by the names that the clients use.
func reportedBy(info map[string]any) Tokens {
	count := func(names ...string) int64 {
		for _, name := range names {
			if n, ok := info[name].(int); ok {
				return int64(n)
			}
		}
		return 0
	}
	return Tokens{Input: count("PromptTokens", "InputTokens"), Output: count("CompletionTokens", "OutputTokens")}
}

// open makes the HTTP client: bounded, checked, recorded, over next when it is
// given and over the network when not.
func (s settled) open(network *http.Client, next http.RoundTripper) *http.Client {
	if next == nil {
		next = traced(network.Transport)
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &wire{next: next, base: s.base, provider: s.Provider, key: s.Key},
	}
}
