package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of a bundle, in bytes. What is over is cut, and the text says so.
const (
	MaxEvidenceText = 8 << 10
	MaxBundle       = 192 << 10
)

// Found is something that was read and may become evidence.
type Found struct {
	Kind   EvidenceKind
	Source string            // such as "incident:42"
	Facts  map[string]string // typed by finobs; empty values are left out
	Text   string            // words of anybody
}

// leftOutSource names the evidence that says what a bundle has no room for.
const leftOutSource = "bundle"

// leftOutRoom is kept for it, in bytes.
const leftOutRoom = 1 << 10

// Bundle makes evidence of what was found, in its order, numbered from E1, up to
// MaxBundle bytes. See Show for the form of its text. What there is no room for is
// named by a last evidence.
func Bundle(found []Found) []Evidence {
	var out []Evidence
	size := leftOutRoom
	for n, f := range found {
		id := "E" + strconv.Itoa(len(out)+1)
		e := Show(id, f.Kind, f.Source, f.Facts, strings.TrimSpace(f.Text))
		e.Text = Shorten(e.Text, MaxEvidenceText)
		if size += len(e.Text); size > MaxBundle {
			return append(out, leftOut(id, found[n:]))
		}
		e.SHA256 = Digest(e.Text)
		out = append(out, e)
	}
	return out
}

func leftOut(id string, rest []Found) Evidence {
	var words strings.Builder
	words.WriteString("There is no room for what was found at ")
	for n, f := range rest {
		if n > 0 {
			words.WriteString(", ")
		}
		words.WriteString(f.Source)
	}
	e := Show(id, OfLedger, leftOutSource, map[string]string{"left_out": strconv.Itoa(len(rest))}, Shorten(words.String(), leftOutRoom-len("left_out: 99999\n\n")))
	e.SHA256 = Digest(e.Text)
	return e
}

// Shorten cuts a text to at most limit bytes, on a rune boundary, and says so where
// there is room for it.
func Shorten(text string, limit int) string {
	mark := "\n[cut]\n"
	if len(text) <= limit {
		return text
	}
	if limit < len(mark) {
		mark = ""
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// EncodeBundle is a bundle as it is kept: JSON with sorted keys.
func EncodeBundle(bundle []Evidence) ([]byte, error) {
	b, err := json.Marshal(bundle)
	if err != nil {
		return nil, fmt.Errorf("encoding evidence: %w", err)
	}
	return b, nil
}

// DecodeBundle reads what EncodeBundle wrote and checks each evidence against its
// digest.
func DecodeBundle(b []byte) ([]Evidence, error) {
	var out []Evidence
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, fmt.Errorf("decoding evidence: %w", err)
	}
	for i, e := range out {
		if e.ID != "E"+strconv.Itoa(i+1) || e.SHA256 != Digest(e.Text) {
			return nil, fmt.Errorf("evidence %s is not the one that was kept", e.ID)
		}
	}
	return out, nil
}

// EncodeOutput is an output as it is kept.
func EncodeOutput(o Output) ([]byte, error) {
	b, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encoding output: %w", err)
	}
	return b, nil
}

// targetFacts say which facts name objects of a desk's system, and of which kind;
// several are separated by commas.
var targetFacts = map[string]string{
	"order": "order", "order_id": "order", "settlement": "settlement", "settlement_id": "settlement", "ssi": "ssi", "eligible_ssis": "ssi",
	"trader": "trader", "strategy": "strategy", "feed": "feed", "gateway": "gateway", "counterparty": "counterparty", "trade": "trade",
	"trade_id": "trade", "position": "position",
}

// TargetsIn lists the objects that facts name, sorted by the fact's name: by facts
// of their own, by the subject of an incident, and by its system, which may be a
// gateway or a feed.
func TargetsIn(facts map[string]string) []Target {
	var out []Target
	add := func(kind, id string) {
		if t, err := ParseTarget(kind + ":" + id); err == nil {
			out = append(out, t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		if kind := targetFacts[name]; kind != "" {
			for _, id := range strings.Split(facts[name], ",") {
				add(kind, strings.TrimSpace(id))
			}
		}
	}
	if facts["subject_id"] != "" {
		add(facts["subject_kind"], facts["subject_id"])
	}
	if system := facts["system"]; system != "" {
		add("gateway", system)
		add("feed", system)
	}
	return out
}

// DecodeOutput reads what EncodeOutput wrote.
func DecodeOutput(b []byte) (Output, error) {
	var o Output
	if err := json.Unmarshal(b, &o); err != nil {
		return o, fmt.Errorf("decoding output: %w", err)
	}
	return o, nil
}
