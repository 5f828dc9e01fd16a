package hostile_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"finobs/internal/redteam/hostile"

	"pgregory.net/rapid"
)

func TestCompletionIsOpenAIsForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		var form struct {
			Choices []struct {
				Message      struct{ Role, Content string }
				FinishReason string `json:"finish_reason"`
			}
			Usage map[string]int64
		}
		err := json.Unmarshal(hostile.Completion(text, 3, 4), &form)
		if err != nil || len(form.Choices) != 1 || form.Choices[0].Message.Content != text || form.Choices[0].FinishReason != "stop" || form.Usage["total_tokens"] != 7 {
			t.Fatalf("got %+v, %v", form, err)
		}
	})
	if !bytes.Contains(hostile.Completion("a\xffb", 0, 0), []byte("a\xffb")) {
		t.Error("broken bytes are mended")
	}
}

func TestTextOf(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{`"a"`: "a", `[{"type":"text","text":"a"},{"text":"b"}]`: "ab", `7`: "", ``: ""} {
		if got := hostile.TextOf(json.RawMessage(content)); got != want {
			t.Errorf("%s: got %q", content, got)
		}
	}
}
