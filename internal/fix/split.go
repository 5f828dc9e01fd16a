package fix

import (
	"bytes"
)

// span is where a field stands in the text of a message. Its tag is -1 when what
// stands before '=' is no tag.
type span struct {
	tag      int
	start    int // of the tag
	from, to int // of the value
}

// dataFields are the fields of type data, by the tag of their length, which
// stands before them: a value of that many bytes, which may hold the delimiter.
var dataFields = [...]int{
	90: 91, 93: 89, 95: 96, 212: 213, 348: 349, 350: 351, 352: 353, 354: 355, 356: 357, 358: 359, 360: 361, 362: 363, 364: 365, 445: 446,
	618: 619, 621: 622, 1184: 1185, 1277: 1278, 1280: 1281, 1397: 1398, 1401: 1402, 1403: 1404, 1525: 1527, 1578: 1579, 1621: 1622,
	1664: 1665, 1678: 1697, 1733: 1734,
}

// splitter splits the text of one message into fields.
type splitter struct {
	text  []byte
	delim []byte
	// checksum is where CheckSum stands when BodyLength has told; 0 when it is to be
	// looked for.
	checksum int
	spans    []span // used again for the next message
	end      int    // of the message, with the delimiter after CheckSum
	complete bool   // it ends with CheckSum
	rest     bool   // it does not end with a delimiter
	badData  int    // tag of a length field that does not agree with its data
	tookData bool   // a data field was read by its length
	noData   bool   // none is to be
}

// split goes through the fields up to CheckSum or to the end of the text. Where the
// length of a data field leaves no CheckSum, it is not gone by.
func (s *splitter) split() {
	s.noData = false
	s.scan()
	if !s.complete && s.tookData {
		s.noData = true
		s.scan()
	}
}

func (s *splitter) scan() {
	s.tookData = false
	s.spans, s.end, s.complete, s.rest, s.badData = s.spans[:0], 0, false, false, 0
	for pos := 0; pos < len(s.text); {
		if s.atCheckSum(pos) {
			return
		}
		if next := s.data(pos); next > 0 {
			pos = next
			continue
		}
		n := bytes.Index(s.text[pos:], s.delim)
		if n < 0 {
			s.rest = true
			s.add(pos, len(s.text))
			break
		}
		s.add(pos, pos+n)
		pos += n + len(s.delim)
	}
	s.end = len(s.text)
}

// atCheckSum ends the message when CheckSum stands at pos.
func (s *splitter) atCheckSum(pos int) bool {
	if pos == 0 || !bytes.HasPrefix(s.text[pos:], []byte("10=")) || s.checksum > 0 && pos != s.checksum {
		return false
	}
	value := s.text[pos+3:]
	n, ended := checkSumLength(value, s.delim)
	if n < 0 {
		return false
	}
	s.spans = append(s.spans, span{tagCheckSum, pos, pos + 3, pos + 3 + n})
	s.end, s.complete = pos+3+n, true
	if ended {
		s.end += len(s.delim)
	}
	return true
}

// checkSumLength is the length of CheckSum's value at the beginning of b, and
// whether a delimiter ends it; -1 when the value is cut off. Three digits need no
// delimiter: some loggers drop the last one.
func checkSumLength(b, delim []byte) (n int, ended bool) {
	digits := 0
	for digits < min(len(b), 4) && isDigit(b[digits]) {
		digits++
	}
	if digits >= 3 && bytes.HasPrefix(b[3:], beginTag) {
		return 3, false
	}
	if digits == 3 {
		return 3, bytes.HasPrefix(b[3:], delim)
	}
	b = b[:min(len(b), 24)] // anything else must be a short symbol with a delimiter
	if end := bytes.Index(b, delim); end >= 0 && !bytes.ContainsAny(b[:end], "\n=") {
		return end, true
	}
	return -1, false
}

// add adds the field of text[start:end].
func (s *splitter) add(start, end int) {
	token := s.text[start:end]
	eq := bytes.IndexByte(token, '=')
	tag := -1
	if eq > 0 {
		tag = parseTag(token[:eq])
	}
	if tag < 0 && s.continues(token, eq) {
		s.spans[len(s.spans)-1].to = end
		return
	}
	if eq < 0 {
		eq = len(token) - 1 // no value
	}
	s.spans = append(s.spans, span{tag, start, start + eq + 1, end})
}

// continues reports whether something that is no field belongs to the value before
// it: the logger that wrote another delimiter for SOH did not look whether a text
// holds it.
func (s *splitter) continues(token []byte, eq int) bool {
	if s.delim[0] == soh || len(s.spans) == 0 {
		return false
	}
	switch s.spans[len(s.spans)-1].tag {
	case tagBeginString, tagBodyLength, tagMsgType, tagMsgSeqNum, tagSender, tagTarget, tagSendingTime, -1:
		return false
	}
	return eq < 0 || len(token) == 0 || !isDigit(token[0])
}

// data takes the data field at pos when the field before it is its length, and
// returns where the next field begins; 0 when there is none.
func (s *splitter) data(pos int) int {
	if len(s.spans) == 0 {
		return 0
	}
	last := s.spans[len(s.spans)-1]
	if last.tag < 0 || last.tag >= len(dataFields) || dataFields[last.tag] == 0 {
		return 0
	}
	tag := dataFields[last.tag]
	length := parseNumber(string(s.text[last.from:min(last.to, last.from+10)]))
	eq := bytes.IndexByte(s.text[pos:min(len(s.text), pos+6)], '=')
	if length < 0 || eq < 0 || parseTag(s.text[pos:pos+eq]) != tag {
		return 0
	}
	from := pos + eq + 1
	end, ok := dataEnd(s.text[from:], s.delim, int(min(length, MaxMessage)))
	if !ok || s.noData || s.checksum > 0 && from+end >= s.checksum {
		s.badData = last.tag
		return 0
	}
	s.tookData = true
	s.spans = append(s.spans, span{tag, pos, from, from + end})
	return from + end + len(s.delim)
}

// dataEnd is where data of a length ends: after as many bytes, or after as many
// when each delimiter counts as the one SOH it stands for.
func dataEnd(b, delim []byte, length int) (int, bool) {
	if length <= len(b) && bytes.HasPrefix(b[length:], delim) {
		return length, true
	}
	end := skipLogical(b, delim, length)
	return end, end >= 0 && bytes.HasPrefix(b[end:], delim)
}

// skipLogical is where n bytes of FIX end in b, in which each SOH is written as
// delim; -1 when b is shorter.
func skipLogical(b, delim []byte, n int) int {
	if len(delim) == 1 {
		if n > len(b) {
			return -1
		}
		return n
	}
	pos := 0
	for n > 0 {
		next := bytes.Index(b[pos:], delim)
		switch {
		case next < 0 && pos+n > len(b):
			return -1
		case next < 0 || next >= n:
			return pos + n
		}
		pos, n = pos+next+len(delim), n-next-1
	}
	return pos
}

// parseTag reads a tag: up to nine digits, the first of which is not 0; -1
// otherwise.
func parseTag(b []byte) int {
	if len(b) == 0 || len(b) > 9 || b[0] == '0' {
		return -1
	}
	n := 0
	for _, c := range b {
		if !isDigit(c) {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}
