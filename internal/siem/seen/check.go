// Package seen checks, on the receiver's side, which leaves of a ledger arrived.
// It reads what package siem sent, as a receiver kept it, and needs no network.
package seen

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"math/bits"
	"slices"
)

// Range is from First to Last, both included.
type Range struct{ First, Last int64 }

// Report says what a file of received leaves holds.
type Report struct {
	Count      int64 // messages with a leaf
	Distinct   int64 // different indexes
	Duplicates int64 // messages whose index had come before
	Min, Max   int64 // smallest and greatest index; -1 when there is none

	Gaps      []Range // indexes between Min and Max that are missing, ascending
	Conflicts []int64 // indexes that came with different digests, ascending

	Skipped      int64 // messages and lines that are not of finobs, or cut off
	FirstSkipped int64 // which message that was first, from 1; 0 when there is none
}

// Check reads received messages until the end: RFC 5424 with octet counting or one
// a line, CEF one a line, and the lines of the HTTPS sink, also mixed. Messages
// must be kept as they came (in rsyslog, the property rawmsg). What is not a
// message of finobs is skipped and counted. It keeps about 9 bytes for each index,
// and refuses indexes that are too far apart for that.
func Check(r io.Reader) (Report, error) {
	out := Report{Min: -1, Max: -1}
	set := newIndexes()
	in := newReader(r)
	for n := int64(1); ; n++ {
		message, err := in.next()
		if err == io.EOF { //nolint:errorlint // next returns it bare
			break
		}
		if err != nil {
			return Report{}, fmt.Errorf("reading message %d: %w", n, err)
		}
		leaf, ok := parse(message)
		if !ok {
			out.Skipped++
			out.FirstSkipped = cmp.Or(out.FirstSkipped, n)
			continue
		}
		known, err := set.add(leaf)
		if err != nil {
			return Report{}, fmt.Errorf("message %d: %w", n, err)
		}
		out.Count++
		if known {
			out.Duplicates++
			continue
		}
		out.Distinct++
		out.Max = max(out.Max, leaf.index)
		if out.Min < 0 || leaf.index < out.Min {
			out.Min = leaf.index
		}
	}
	out.Gaps, out.Conflicts = set.survey()
	return out, nil
}

// Missing returns the indexes from first to last that are not there.
func (r *Report) Missing(first, last int64) []Range {
	var out []Range
	add := func(g Range) {
		g.First, g.Last = max(g.First, first), min(g.Last, last)
		if g.First <= g.Last {
			out = append(out, g)
		}
	}
	if r.Distinct == 0 {
		add(Range{first, last})
		return out
	}
	add(Range{first, r.Min - 1})
	for _, g := range r.Gaps {
		add(g)
	}
	add(Range{r.Max + 1, last})
	return out
}

const (
	pageSize = 1024      // indexes
	maxPages = 64 * 1024 // 64 Mi indexes, about 550 MB
)

// indexes is a set of indexes, with a hash of the digest of each. The hash has a
// random seed, so nobody can make two digests that it takes for one.
type indexes struct {
	seed  maphash.Seed
	pages map[int64]*page
}

type page struct {
	have, conflict [pageSize / 64]uint64
	hash           [pageSize]uint64
}

func newIndexes() *indexes {
	return &indexes{seed: maphash.MakeSeed(), pages: map[int64]*page{}}
}

// add reports whether the index was there before.
func (s *indexes) add(l leaf) (known bool, err error) {
	p := s.pages[l.index/pageSize]
	if p == nil {
		if len(s.pages) == maxPages {
			return false, fmt.Errorf("its index %d is too far from the others: indexes are in more than %d groups of %d", l.index, maxPages, pageSize)
		}
		p = new(page)
		s.pages[l.index/pageSize] = p
	}
	at := l.index % pageSize
	word, bit := at/64, uint64(1)<<(at%64)
	hash := maphash.Bytes(s.seed, l.digest)
	if p.have[word]&bit != 0 {
		if p.hash[at] != hash {
			p.conflict[word] |= bit
		}
		return true, nil
	}
	p.have[word] |= bit
	p.hash[at] = hash
	return false, nil
}

// survey returns the gaps between the indexes and those with a conflict.
func (s *indexes) survey() (gaps []Range, conflicts []int64) {
	previous := int64(-1)
	for _, n := range slices.Sorted(maps.Keys(s.pages)) {
		p := s.pages[n]
		for word := range p.have {
			base := n*pageSize + int64(word)*64
			for left := p.have[word]; left != 0; left &= left - 1 {
				index := base + int64(bits.TrailingZeros64(left))
				if previous >= 0 && index > previous+1 {
					gaps = append(gaps, Range{previous + 1, index - 1})
				}
				previous = index
			}
			for left := p.conflict[word]; left != 0; left &= left - 1 {
				conflicts = append(conflicts, base+int64(bits.TrailingZeros64(left)))
			}
		}
	}
	return gaps, conflicts
}
