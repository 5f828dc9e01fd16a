package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"finobs/internal/ledger"
)

// quick compares columns with leaves without making values of either: it writes
// the line that the leaf's columns come to and looks whether it is the one that is
// there. It says yes or does not know: whatever it is not sure of, Differs judges.
type quick struct {
	line    []byte // what the columns should read
	content []byte // the leaf without its id and time
}

// leafValues are the values of a leaf as they stand in it, between the quotes.
type leafValues struct {
	id, idem, time, typ, action, outcome, reason, desk, requestID, traceID, workflowID, overrideType []byte
	actorKind, actorIss, actorSub, subjectKind, subjectID                                            []byte
	explanation, input, output, version                                                              []byte
	hasAI, isSimulation                                                                              bool

	idAt, timeAt [2]int // where the members id and time stand, with the comma behind each
}

// equal reports whether a line of columns is certainly that of a leaf.
func (q *quick) equal(index int64, line, leaf []byte) bool {
	var v leafValues
	if !v.read(leaf) || v.idAt[1] == 0 || v.timeAt[1] == 0 {
		return false
	}
	// idem_key, which stands between the two, shows that id comes first.
	q.content = append(append(append(q.content[:0], leaf[:v.idAt[0]]...), leaf[v.idAt[1]:v.timeAt[0]]...), leaf[v.timeAt[1]:]...)
	return q.write(index, &v, sha256.Sum256(leaf), sha256.Sum256(q.content)) && bytes.Equal(q.line, line)
}

// write writes a line as the log serves it: Columns as encoding/json writes them.
func (q *quick) write(index int64, v *leafValues, leaf, content [sha256.Size]byte) bool {
	if len(v.time) != len("2006-01-02T15:04:05.000000Z") {
		return false
	}
	at, err := time.Parse(time.RFC3339Nano, string(v.time))
	if err != nil || ledger.FormatTime(at) != string(v.time) {
		return false
	}
	b := q.line[:0]
	b = append(b, `{"leaf_index":`...)
	b = strconv.AppendInt(b, index, 10)
	b = appendText(b, `,"entry_id":"`, v.id)
	b = appendText(b, `,"idem_key":"`, v.idem)
	b = append(b, `,"content_sha256":"`...)
	b = hex.AppendEncode(b, content[:])
	b = append(b, `","recorded_at":"`...)
	b = at.AppendFormat(b, time.RFC3339Nano)
	b = append(b, '"')
	b = appendText(b, `,"type":"`, v.typ)
	b = appendText(b, `,"action":"`, v.action)
	b = appendText(b, `,"outcome":"`, v.outcome)
	b = appendText(b, `,"reason":"`, v.reason)
	b = appendText(b, `,"actor_type":"`, v.actorKind)
	b = appendText(b, `,"actor_iss":"`, v.actorIss)
	b = appendText(b, `,"actor_sub":"`, v.actorSub)
	b = appendText(b, `,"subject_kind":"`, v.subjectKind)
	b = appendText(b, `,"subject_id":"`, v.subjectID)
	b = appendText(b, `,"desk":"`, v.desk)
	b = appendText(b, `,"request_id":"`, v.requestID)
	b = appendText(b, `,"trace_id":"`, v.traceID)
	b = appendText(b, `,"workflow_id":"`, v.workflowID)
	if v.hasAI {
		b = appendText(b, `,"ai_explanation":"`, v.explanation)
		b = appendText(b, `,"agent_input_sha256":"`, v.input)
		b = appendText(b, `,"agent_output_sha256":"`, v.output)
		b = appendText(b, `,"agent_version":"`, v.version)
	} else {
		b = append(b, `,"ai_explanation":null,"agent_input_sha256":null,"agent_output_sha256":null,"agent_version":null`...)
	}
	if len(v.overrideType) > 0 {
		b = appendText(b, `,"override_type":"`, v.overrideType)
	} else {
		b = append(b, `,"override_type":null`...)
	}
	b = strconv.AppendBool(append(b, `,"is_simulation":`...), v.isSimulation)
	b = append(b, `,"leaf_sha256":"`...)
	b = hex.AppendEncode(b, leaf[:])
	b = append(b, `"}`...)
	q.line = b
	return true
}

func appendText(b []byte, name string, text []byte) []byte {
	return append(append(append(b, name...), text...), '"')
}

// read takes a leaf apart. It refuses what is not canonical (RFC 8785), what has a
// member that no column and no detail is made of, and every text with an escape:
// then what stands between quotes is the text, in a leaf as in its columns.
func (v *leafValues) read(leaf []byte) bool {
	if !plain(leaf) {
		return false
	}
	r := reader{text: leaf}
	return r.members(func(key []byte, from int) bool {
		switch string(key) {
		case "id":
			return r.quoted(&v.id) && r.without(from, &v.idAt)
		case "time":
			return r.quoted(&v.time) && r.without(from, &v.timeAt)
		case "is_simulation":
			return r.boolean(&v.isSimulation)
		case "details":
			return r.value(0)
		case "actor":
			return r.texts("kind", &v.actorKind, "iss", &v.actorIss, "sub", &v.actorSub)
		case "subject":
			return r.texts("kind", &v.subjectKind, "id", &v.subjectID)
		case "workflow":
			var ignored []byte
			return r.texts("id", &v.workflowID, "first_run", &ignored, "namespace", &ignored)
		case "ai":
			v.hasAI = true
			return r.texts("explanation", &v.explanation, "input_sha256", &v.input, "output_sha256", &v.output, "version", &v.version)
		case "v":
			var ignored []byte
			return r.quoted(&ignored)
		}
		into := v.text(key)
		return into != nil && r.quoted(into)
	}) && r.at == len(leaf)
}

// text is where the text of a member of the leaf itself goes; nil for others.
func (v *leafValues) text(key []byte) *[]byte {
	switch string(key) {
	case "idem_key":
		return &v.idem
	case "type":
		return &v.typ
	case "action":
		return &v.action
	case "outcome":
		return &v.outcome
	case "reason":
		return &v.reason
	case "desk":
		return &v.desk
	case "request_id":
		return &v.requestID
	case "trace_id":
		return &v.traceID
	case "override_type":
		return &v.overrideType
	}
	return nil
}

// plain reports whether a text is UTF-8 without escapes and control characters.
func plain(text []byte) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	var odd uint64 // bit 7 of each byte that is below the space; of those behind it too
	rest := text
	for ; len(rest) >= 8; rest = rest[8:] {
		word := binary.LittleEndian.Uint64(rest)
		odd |= (word - 0x20*ones) &^ word & high
	}
	for _, c := range rest {
		if c < 0x20 {
			return false
		}
	}
	return odd == 0 && bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text)
}

// maxDepth is how deep a leaf may nest before it is left to others.
const maxDepth = 32

// reader goes through canonical JSON of plain text. Its methods report whether all
// was as it must be.
type reader struct {
	text []byte
	at   int
}

func (r *reader) next(c byte) bool {
	if r.at >= len(r.text) || r.text[r.at] != c {
		return false
	}
	r.at++
	return true
}

// quoted reads a string, and gives what stands between its quotes.
func (r *reader) quoted(into *[]byte) bool {
	if !r.next('"') {
		return false
	}
	n := bytes.IndexByte(r.text[r.at:], '"')
	if n < 0 {
		return false
	}
	*into = r.text[r.at : r.at+n]
	r.at += n + 1
	return true
}

// members reads an object whose keys ascend, each once. RFC 8785 orders keys by
// their UTF-16 code units; of other keys than ASCII's the order is not judged here.
func (r *reader) members(member func(key []byte, from int) bool) bool {
	if !r.next('{') {
		return false
	}
	if r.next('}') {
		return true
	}
	var key, last []byte
	for first := true; ; first = false {
		from := r.at
		if !r.quoted(&key) || !r.next(':') || !first && bytes.Compare(last, key) >= 0 || !ascii(key) || !member(key, from) {
			return false
		}
		last = key
		if !r.next(',') {
			return r.next('}')
		}
	}
}

func ascii(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// texts reads an object of strings: pairs of a key and where its text goes.
func (r *reader) texts(pairs ...any) bool {
	return r.members(func(key []byte, _ int) bool {
		for i := 0; i < len(pairs); i += 2 {
			if string(key) == pairs[i].(string) {
				return r.quoted(pairs[i+1].(*[]byte))
			}
		}
		return false
	})
}

func (r *reader) boolean(into *bool) bool {
	for _, word := range []string{"true", "false"} {
		if bytes.HasPrefix(r.text[r.at:], []byte(word)) {
			*into = word == "true"
			r.at += len(word)
			return true
		}
	}
	return false
}

// without notes where a member stands that is not the last of its object.
func (r *reader) without(from int, into *[2]int) bool {
	*into = [2]int{from, r.at + 1}
	return r.at < len(r.text) && r.text[r.at] == ','
}

// value reads any value that package canonical has: no numbers, no null.
func (r *reader) value(depth int) bool {
	if r.at >= len(r.text) || depth > maxDepth {
		return false
	}
	switch r.text[r.at] {
	case '"':
		var ignored []byte
		return r.quoted(&ignored)
	case '{':
		return r.members(func([]byte, int) bool { return r.value(depth + 1) })
	case '[':
		r.at++
		if r.next(']') {
			return true
		}
		for {
			if !r.value(depth + 1) {
				return false
			}
			if !r.next(',') {
				return r.next(']')
			}
		}
	}
	var ignored bool
	return r.boolean(&ignored)
}
