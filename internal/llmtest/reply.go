package llmtest

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"time"

	"finobs/internal/redteam/hostile"
)

func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the client may be gone
}

func sendJSON(w http.ResponseWriter, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		panic("llmtest: " + err.Error()) // maps of strings and numbers
	}
	send(w, http.StatusOK, "application/json", b)
}

type object = map[string]any

// completion is an answer in OpenAI's form.
func completion(message object, finish string, input, output int64) object {
	message["role"] = "assistant"
	return object{
		"id": "chatcmpl-1", "object": "chat.completion", "model": "test",
		"choices": []object{{"index": 0, "message": message, "finish_reason": finish}},
		"usage":   object{"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
	}
}

// Answer answers with a text, in OpenAI's form.
func Answer(text string) Reply { return Usage(text, 1000, 100) }

// AnswerBy answers with what a function makes of the request, in OpenAI's form.
func AnswerBy(f func(Request) string) Reply {
	return func(w http.ResponseWriter, r Request) { Answer(f(r))(w, r) }
}

// Usage answers with a text and these numbers of tokens.
func Usage(text string, input, output int64) Reply {
	return func(w http.ResponseWriter, _ Request) {
		send(w, http.StatusOK, "application/json", hostile.Completion(text, input, output))
	}
}

// Finish answers with a text and a reason why it ends there, such as length or
// content_filter.
func Finish(text, reason string) Reply {
	return func(w http.ResponseWriter, _ Request) {
		sendJSON(w, completion(object{"content": text}, reason, 1000, 100))
	}
}

// Refusal answers as OpenAI does when the model declines.
func Refusal() Reply {
	return func(w http.ResponseWriter, _ Request) {
		sendJSON(w, completion(object{"content": nil, "refusal": "I'm sorry, I cannot assist with that."}, "stop", 1000, 10))
	}
}

// ToolCall answers by calling a tool, in OpenAI's form.
func ToolCall(name, arguments string) Reply {
	return func(w http.ResponseWriter, _ Request) {
		call := object{"id": "call_1", "type": "function", "function": object{"name": name, "arguments": arguments}}
		sendJSON(w, completion(object{"content": nil, "tool_calls": []object{call}}, "tool_calls", 1000, 100))
	}
}

// AnthropicTool answers by calling a tool, in Anthropic's form.
func AnthropicTool(name string, input json.RawMessage) Reply {
	return anthropic("tool_use", object{"type": "tool_use", "id": "toolu_1", "name": name, "input": input})
}

// AnthropicText answers with a text, in Anthropic's form.
func AnthropicText(text string) Reply {
	return anthropic("end_turn", object{"type": "text", "text": text})
}

func anthropic(stop string, content object) Reply {
	return func(w http.ResponseWriter, _ Request) {
		sendJSON(w, object{
			"id": "msg_1", "type": "message", "role": "assistant", "model": "test", "content": []object{content},
			"stop_reason": stop, "stop_sequence": nil, "usage": object{"input_tokens": 1000, "output_tokens": 100},
		})
	}
}

// OllamaLines answers with a text in several lines, as Ollama streams it.
func OllamaLines(text string) Reply {
	return func(w http.ResponseWriter, _ Request) {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		line := func(content string, done bool) {
			value := object{"model": "test", "created_at": "2026-01-01T00:00:00Z", "message": object{"role": "assistant", "content": content}, "done": done}
			if done {
				value["prompt_eval_count"], value["eval_count"] = 1000, 100
			}
			enc.Encode(value) //nolint:errcheck // to memory
		}
		for rest := []rune(text); len(rest) > 0; {
			n := min(len(rest), 40)
			line(string(rest[:n]), false)
			rest = rest[n:]
		}
		line("", true)
		send(w, http.StatusOK, "application/x-ndjson", b.Bytes())
	}
}

// Status answers with a status and a body.
func Status(status int, body string) Reply {
	return func(w http.ResponseWriter, _ Request) { send(w, status, "application/json", []byte(body)) }
}

// TooMany answers 429 and asks to wait.
func TooMany(seconds int) Reply {
	return func(w http.ResponseWriter, r Request) {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		Status(http.StatusTooManyRequests, `{"error":{"message":"slow down"}}`)(w, r)
	}
}

// Body answers 200 with any body.
func Body(body string) Reply { return Status(http.StatusOK, body) }

// HTML answers 200 with a page, as a proxy does.
func HTML() Reply {
	return func(w http.ResponseWriter, _ Request) {
		send(w, http.StatusOK, "text/html", []byte("<!DOCTYPE html><html><body>Sign in to the network</body></html>"))
	}
}

// Redirect answers 307 to another address.
func Redirect(to string) Reply {
	return func(w http.ResponseWriter, _ Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

// SlowHeaders never answers.
func SlowHeaders() Reply {
	return func(w http.ResponseWriter, _ Request) { pause(w, time.Hour) }
}

// SlowBody begins an answer and never ends it.
func SlowBody() Reply {
	return func(w http.ResponseWriter, _ Request) {
		send(w, http.StatusOK, "application/json", []byte(`{"choices":[`))
		flush(w)
		pause(w, time.Hour)
	}
}

// Drip sends a byte every few milliseconds for ever, so that no pause is long.
func Drip() Reply {
	return func(w http.ResponseWriter, _ Request) {
		send(w, http.StatusOK, "application/json", []byte("{"))
		for pause(w, 5*time.Millisecond) {
			if _, err := w.Write([]byte(" ")); err != nil {
				return
			}
			flush(w)
		}
	}
}

// Endless sends as fast as it can until the client is gone, and tells how many
// bytes that were.
func Endless(sent func(bytes int)) Reply {
	return func(w http.ResponseWriter, _ Request) {
		chunk := bytes.Repeat([]byte(" "), 64<<10)
		w.Header().Set("Content-Type", "application/json")
		total := 0
		defer func() { sent(total) }()
		for {
			n, err := w.Write(chunk)
			if total += n; err != nil {
				return
			}
		}
	}
}

// Big answers with a text of n bytes.
func Big(n int) Reply { return Answer(string(bytes.Repeat([]byte("a"), n))) }

// Reset cuts the connection with a TCP reset.
func Reset() Reply {
	return func(w http.ResponseWriter, _ Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0) //nolint:errcheck // the connection is thrown away
		}
		conn.Close()
	}
}

// Raw answers with bytes that need not be HTTP.
func Raw(f func(Request) string) Reply {
	return func(w http.ResponseWriter, r Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write([]byte(f(r))) //nolint:errcheck // the client may be gone
	}
}

func flush(w http.ResponseWriter) {
	http.NewResponseController(w).Flush() //nolint:errcheck // the client may be gone
}

// pause waits and reports whether client and test are still there.
func pause(w http.ResponseWriter, d time.Duration) bool {
	p, ok := w.(*waiter)
	if !ok {
		return false
	}
	select {
	case <-time.After(d):
		return true
	case <-p.r.Context().Done():
	case <-p.gone:
	}
	return false
}
