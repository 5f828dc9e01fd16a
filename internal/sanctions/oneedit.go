package sanctions

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
)

// oneEdit finds names that are one edit away as a whole: a letter more, less or
// another, or two neighbours swapped. It finds the edits in short words and in
// legal forms that words one by one do not.
type oneEdit struct {
	seed  maphash.Seed
	whole [][]rune // of each name, all words without spaces
	at    []deletion
}

// deletion is the hash of what a name is without one letter, or with all.
type deletion struct {
	hash uint64
	name int32
}

// minWhole and maxWhole are the letters that a name must have for it.
const (
	minWhole = 6
	maxWhole = 128
)

func (o *oneEdit) add(name int32, words []string) {
	whole := []rune(strings.Join(words, ""))
	o.whole = append(o.whole, whole)
	if len(whole) < minWhole || len(whole) > maxWhole {
		return
	}
	for _, d := range deletions(whole) {
		o.at = append(o.at, deletion{maphash.String(o.seed, d), name})
	}
}

func (o *oneEdit) sort() {
	slices.SortFunc(o.at, func(a, b deletion) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.name, b.name)) })
}

// find calls yield for each name within one edit of a query with 1 - 1/letters,
// the normalised edit distance.
func (o *oneEdit) find(words []string, yield func(name int32, score Score)) {
	whole := []rune(strings.Join(words, ""))
	if len(whole) < minWhole-1 || len(whole) > maxWhole+1 {
		return
	}
	for _, d := range deletions(whole) {
		hash := maphash.String(o.seed, d)
		i, _ := slices.BinarySearchFunc(o.at, hash, func(d deletion, h uint64) int { return cmp.Compare(d.hash, h) })
		for ; i < len(o.at) && o.at[i].hash == hash; i++ {
			if listed := o.whole[o.at[i].name]; withinOneEdit(whole, listed) {
				yield(o.at[i].name, floor(1-1/float64(max(len(whole), len(listed)))))
			}
		}
	}
}

// withinOneEdit reports whether the optimal string alignment distance of two words
// is at most 1.
func withinOneEdit(a, b []rune) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	switch len(b) - len(a) {
	case 0:
		return i == len(a) || slices.Equal(a[i+1:], b[i+1:]) ||
			i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && slices.Equal(a[i+2:], b[i+2:])
	case 1:
		return slices.Equal(a[i:], b[i+1:])
	}
	return false
}
