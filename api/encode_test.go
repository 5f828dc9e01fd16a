package api

import (
	"bytes"
	stdjson "encoding/json"
	"math"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"finobs/internal/approval"
	"finobs/internal/store"

	"pgregory.net/rapid"
)

// Answers are what encoding/json writes, so that no client sees another encoder.
func TestAnswersAreThoseOfEncodingJSON(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String().Filter(utf8.ValidString), rapid.SampledFrom([]string{"", "<script>&", "\u2028\u2029", "\x00\x1f\x7f", `"\`, "é€😀"}))
	optional := func(t *rapid.T, name string) *string {
		if s := text.Draw(t, name); s != "" {
			return &s
		}
		return nil
	}
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
		raw, err := stdjson.MarshalIndent(map[string]string{text.Draw(t, "k"): text.Draw(t, "v")}, " ", "\t")
		if err != nil {
			t.Fatal(err)
		}
		values := []any{
			approvalPage{Items: []ApprovalView{{
				ID: rapid.Int64().Draw(t, "id"), Kind: text.Draw(t, "kind"), Action: raw, Reason: text.Draw(t, "reason"), Missing: rapid.SliceOf(text).Draw(t, "missing"),
				Status: approval.Pending, CreatedAt: at, ClosedAt: rapid.SampledFrom([]*time.Time{nil, &at}).Draw(t, "closed"), Decisions: []decisionView{{Reason: text.Draw(t, "why")}},
				Supersedes: rapid.Int64Range(0, 2).Draw(t, "supersedes"),
			}, {}}},
			approvalDetail{Summary: text.Draw(t, "summary")},
			auditPage{Items: []auditView{{LogEntry: store.LogEntry{Type: optional(t, "type"), RecordedAt: &at}, Leaf: raw}, {Leaf: stdjson.RawMessage("null")}}},
			exportPage{Items: []exportView{{Filters: map[string]string{"b": text.Draw(t, "filter"), "a": ""}, Seal: &sealView{SnapshotAt: at}}}},
			incidentPage{}, map[string]any{"f": rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) }).Draw(t, "float"), "n": nil},
			&Problem{Title: text.Draw(t, "title")},
		}
		for _, v := range values {
			var want bytes.Buffer
			e := stdjson.NewEncoder(&want)
			e.SetEscapeHTML(false)
			if err := e.Encode(v); err != nil {
				t.Fatal(err)
			}
			got := httptest.NewRecorder()
			if err := writeJSON(got, v); err != nil {
				t.Fatal(err)
			}
			if got.Body.String() != want.String() {
				t.Fatalf("got  %s\nwant %s", got.Body, &want)
			}
			if n := got.Header().Get("Content-Length"); n != strconv.Itoa(want.Len()) {
				t.Fatalf("the length is %s, not %d", n, want.Len())
			}
		}
	})
}

// Postgres keeps no text that is not UTF-8. Should some come from elsewhere, it reads
// the same although it is spelt otherwise.
func TestTextThatIsNoUTF8IsReplaced(t *testing.T) {
	t.Parallel()
	got := httptest.NewRecorder()
	if err := writeJSON(got, []string{"a\xff\xfeb"}); err != nil {
		t.Fatal(err)
	}
	var list []string
	if err := stdjson.Unmarshal(got.Body.Bytes(), &list); err != nil || list[0] != "a\ufffd\ufffdb" {
		t.Errorf("%q, %v", list, err)
	}
}

func TestWhatCannotBeWrittenIsNotBegun(t *testing.T) {
	t.Parallel()
	got := httptest.NewRecorder()
	if err := writeJSON(got, map[string]any{"a": "b", "f": func() {}}); err == nil || got.Body.Len() != 0 {
		t.Errorf("%v after %q", err, got.Body)
	}
}
