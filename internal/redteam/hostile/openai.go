package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Completion is a text as the answer of a server that speaks OpenAI's form, with the
// numbers of tokens that it reports. Bytes of the text that are not UTF-8 stay as they
// are, which no honest encoder would leave.
func Completion(text string, input, output int64) []byte {
	const here = "the text stands here"
	b := []byte(encode(object{
		"id": "chatcmpl-1", "object": "chat.completion", "model": "test",
		"choices": []object{{"index": 0, "finish_reason": "stop", "message": object{"role": "assistant", "content": here}}},
		"usage":   object{"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
	}))
	return bytes.Replace(b, []byte(`"`+here+`"`), quoted(text), 1)
}

// quoted is a JSON string that leaves bytes that are not UTF-8 as they are.
func quoted(s string) []byte {
	out := []byte{'"'}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ':
			out = fmt.Appendf(out, "\\u%04x", c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// TextOf reads the content of a message that is a string or a list of texts.
func TextOf(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(content, &parts) != nil {
		return ""
	}
	for _, p := range parts {
		text += p.Text
	}
	return text
}
