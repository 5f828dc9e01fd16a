package seen

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
)

// leaf is what a message says of a leaf.
type leaf struct {
	index  int64
	digest []byte // 64 hexadecimal digits
}

// parse reads a message in any of the forms of package siem. A text that only
// looks like one, in the message of another, does not count: it is parsed from
// its start, by the grammar.
func parse(m []byte) (leaf, bool) {
	switch {
	case len(m) == 0:
		return leaf{}, false
	case m[0] == '{':
		return parseJSON(m)
	case m[0] == '<':
		return parseSyslog(m)
	}
	return parseCEF(m)
}

// MaxIndex is the greatest index that is read. It keeps sums of indexes from overflowing.
const MaxIndex = 1 << 60

func newLeaf(index, digest []byte) (leaf, bool) {
	n, err := strconv.ParseInt(string(index), 10, 64)
	if err != nil || n < 0 || n > MaxIndex || strconv.FormatInt(n, 10) != string(index) {
		return leaf{}, false
	}
	if _, err := hex.DecodeString(string(digest)); err != nil || len(digest) != 64 {
		return leaf{}, false
	}
	return leaf{n, bytes.ToLower(digest)}, true
}

func parseJSON(m []byte) (leaf, bool) {
	var line struct {
		Index  string `json:"index"`
		Digest string `json:"leaf_sha256"`
	}
	if err := json.Unmarshal(m, &line); err != nil {
		return leaf{}, false
	}
	return newLeaf([]byte(line.Index), []byte(line.Digest))
}

// parseSyslog reads RFC 5424: a header of six fields, structured data, a message.
func parseSyslog(m []byte) (leaf, bool) {
	version, rest, ok := bytes.Cut(m, []byte(" "))
	if !ok || !bytes.HasPrefix(version, []byte("<")) || !bytes.HasSuffix(version, []byte(">1")) {
		return leaf{}, false
	}
	for range 5 { // TIMESTAMP, HOSTNAME, APP-NAME, PROCID, MSGID
		field, after, ok := bytes.Cut(rest, []byte(" "))
		if !ok || len(field) == 0 {
			return leaf{}, false
		}
		rest = after
	}
	if message, ok := bytes.CutPrefix(rest, []byte("- ")); ok {
		return parseCEF(bytes.TrimPrefix(message, []byte("\uFEFF")))
	}
	return parseElements(rest)
}

// parseElements reads the structured data of RFC 5424 section 6.3, up to its end.
func parseElements(rest []byte) (leaf, bool) {
	var index, digest []byte
	for len(rest) > 0 && rest[0] == '[' {
		end := bytes.IndexAny(rest, " ]")
		if end < 0 {
			return leaf{}, false
		}
		ours := bytes.HasPrefix(rest, []byte("[finobs@"))
		rest = rest[end:]
		for len(rest) > 0 && rest[0] == ' ' {
			name, value, after, ok := param(rest[1:])
			if !ok {
				return leaf{}, false
			}
			rest = after
			switch {
			case ours && string(name) == "idx":
				index = value
			case ours && string(name) == "leaf_sha256":
				digest = value
			}
		}
		if len(rest) == 0 || rest[0] != ']' {
			return leaf{}, false
		}
		rest = rest[1:]
	}
	if len(rest) > 0 && rest[0] != ' ' {
		return leaf{}, false
	}
	return newLeaf(index, digest)
}

// param reads NAME="VALUE". The value keeps its escapes; those of finobs that are
// read have none.
func param(s []byte) (name, value, after []byte, ok bool) {
	name, s, ok = bytes.Cut(s, []byte(`="`))
	if !ok || len(name) == 0 || bytes.ContainsAny(name, ` "]=`) {
		return nil, nil, nil, false
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return name, s[:i], s[i+1:], true
		}
	}
	return nil, nil, nil, false
}

// parseCEF reads CEF:0 of finobs.
func parseCEF(m []byte) (leaf, bool) {
	if !bytes.HasPrefix(m, []byte("CEF:0|finobs|finobs|")) {
		return leaf{}, false
	}
	bars := 0
	i := 0
	for ; i < len(m) && bars < 7; i++ {
		switch m[i] {
		case '\\':
			i++
		case '|':
			bars++
		}
	}
	if bars < 7 {
		return leaf{}, false
	}
	found := map[string][]byte{}
	extension(m[i:], func(key string, value []byte) { found[key] = value })
	if string(found["cn1Label"]) != "idx" || string(found["cs1Label"]) != "leaf_sha256" {
		return leaf{}, false
	}
	return newLeaf(found["cn1"], found["cs1"])
}

// extension calls f for each key=value. A value goes on to the space in front of
// the next key; an equals sign in a value has a backslash.
func extension(s []byte, f func(key string, value []byte)) {
	key, start, space := "", 0, -1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ' ':
			space = i
		case '=':
			if key != "" && space >= start {
				f(key, s[start:space])
			}
			key, start = string(s[space+1:i]), i+1
		}
	}
	if key != "" {
		f(key, s[start:])
	}
}
