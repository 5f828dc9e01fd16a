package keys

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Verifiers are the note keys of one log over its life, each with the tree sizes
// for which it is trusted. The zero value trusts nothing.
type Verifiers struct {
	entries []verifierEntry
}

type verifierEntry struct {
	verifier    note.Verifier
	line        int
	first, last int64 // tree sizes, both included
}

// LoadVerifiers reads a trust file for auditors. Each line is
//
//	VKEY FIRST LAST
//
// with the text form of a note key and the first and the last tree size
// (entries) that it may sign; LAST is - while the key is in use. Ranges overlap
// while an old and a new key both sign. Lines that begin with # and empty lines
// are skipped. All keys have one name, for sizes of two logs mean different
// things. Errors give the number of the line.
func LoadVerifiers(r io.Reader) (Verifiers, error) {
	var out Verifiers
	lines := bufio.NewScanner(r)
	number := 0
	for lines.Scan() {
		number++
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		entry, err := parseVerifier(text)
		if err == nil {
			entry.line = number
			err = out.add(entry)
		}
		if err != nil {
			return Verifiers{}, fmt.Errorf("trust file, line %d: %w", number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return Verifiers{}, fmt.Errorf("trust file, after line %d: %w", number, err)
	}
	if len(out.entries) == 0 {
		return Verifiers{}, errors.New("trust file holds no key; want lines of VKEY FIRST LAST")
	}
	return out, nil
}

// Origin is the name that the keys have, which is the first line of the log's
// checkpoints.
func (v Verifiers) Origin() string {
	if len(v.entries) == 0 {
		return ""
	}
	return v.entries[0].verifier.Name()
}

// For returns the keys that may sign a tree of the given size, in the order of
// the file. The size stands in the note, so the caller reads it before the
// signature is checked, and believes it only afterwards.
func (v Verifiers) For(size int64) []note.Verifier {
	var out []note.Verifier
	for _, entry := range v.entries {
		if entry.first <= size && size <= entry.last {
			out = append(out, entry.verifier)
		}
	}
	return out
}

func (v *Verifiers) add(entry verifierEntry) error {
	for _, other := range v.entries {
		if entry.verifier.Name() != other.verifier.Name() {
			return fmt.Errorf("the key is of %s and that of line %d is of %s; a trust file is for one log", entry.verifier.Name(), other.line, other.verifier.Name())
		}
		if entry.verifier.KeyHash() == other.verifier.KeyHash() {
			return fmt.Errorf("line %d has this key already; give it one range", other.line)
		}
	}
	v.entries = append(v.entries, entry)
	return nil
}

func parseVerifier(text string) (verifierEntry, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return verifierEntry{}, fmt.Errorf("%d fields; want VKEY FIRST LAST", len(fields))
	}
	verifier, err := note.NewVerifier(fields[0])
	if err != nil {
		return verifierEntry{}, fmt.Errorf("the key is none for notes of Ed25519: %w", err)
	}
	entry := verifierEntry{verifier: verifier, last: math.MaxInt64}
	if entry.first, err = parseSize(fields[1]); err != nil {
		return verifierEntry{}, fmt.Errorf("first size: %w", err)
	}
	if fields[2] == "-" {
		return entry, nil
	}
	if entry.last, err = parseSize(fields[2]); err != nil {
		return verifierEntry{}, fmt.Errorf("last size: %w (- for a key in use)", err)
	}
	if entry.last < entry.first {
		return verifierEntry{}, fmt.Errorf("the last size %d is before the first, %d", entry.last, entry.first)
	}
	return entry, nil
}

// parseSize reads a tree size in the one form that checkpoints have: decimal,
// without sign and leading zeros.
func parseSize(text string) (int64, error) {
	size, err := strconv.ParseInt(text, 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != text {
		return 0, fmt.Errorf("%q is no tree size; want a whole number", text)
	}
	return size, nil
}
