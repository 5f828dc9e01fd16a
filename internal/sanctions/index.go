package sanctions

import (
	"hash/maphash"
	"math"
	"strings"
	"sync"
)

// Index finds names on a list. It may be used by several goroutines at once.
type Index struct {
	list    *List
	names   []listed
	exact   map[string][]int32 // names by their compared form
	compact map[string][]int32 // dito, without the spaces
	words   []string
	wordID  map[string]int32
	weight  []float64          // by word
	with    [][]int32          // names by word
	near    map[string][]int32 // words by each of their deletions
	rare    float64            // weight of a word that no name has
	edits   oneEdit
	scratch sync.Pool
}

// listed is a name of an entry, as it is compared.
type listed struct {
	entry int32
	alias int32 // index among the entry's aliases; -1 for its name
	words []int32
	total float64 // weight of the words
}

// NewIndex makes an index of all names of a list.
func NewIndex(list *List) *Index {
	x := &Index{
		list: list, exact: map[string][]int32{}, compact: map[string][]int32{},
		wordID: map[string]int32{}, near: map[string][]int32{},
		edits: oneEdit{seed: maphash.MakeSeed()},
	}
	for i, e := range list.Entries {
		x.add(int32(i), -1, e.Name, e.Type)
		for k, a := range e.Aliases {
			x.add(int32(i), int32(k), a.Name, e.Type)
		}
	}
	x.weigh()
	x.edits.sort()
	x.scratch.New = func() any { return &sums{of: make([]float64, len(x.names))} }
	return x
}

// Names is how many names and aliases can be found.
func (x *Index) Names() int { return len(x.names) }

func (x *Index) add(entry, alias int32, name string, t Type) {
	all := tokens(name)
	words := core(all, t)
	if len(words) == 0 {
		return
	}
	id := int32(len(x.names))
	n := listed{entry: entry, alias: alias}
	form := classOf(t) + strings.Join(words, " ")
	x.exact[form] = append(x.exact[form], id)
	if short := classOf(t) + strings.Join(words, ""); len(short) > minCompact {
		x.compact[short] = append(x.compact[short], id)
	}
	for _, w := range words {
		wid, known := x.wordID[w]
		if !known {
			wid = int32(len(x.words))
			x.words, x.with, x.wordID[w] = append(x.words, w), append(x.with, nil), wid
			for _, d := range deletions([]rune(w)) {
				x.near[d] = append(x.near[d], wid)
			}
		}
		n.words = append(n.words, wid)
		if have := x.with[wid]; len(have) == 0 || have[len(have)-1] != id {
			x.with[wid] = append(have, id)
		}
	}
	x.names = append(x.names, n)
	x.edits.add(id, all)
}

// minCompact is the least length, in bytes, of a name that is compared without its
// spaces.
const minCompact = 7

// classOf separates the forms of persons, whose names keep other words.
func classOf(t Type) string {
	if t == Individual {
		return "p "
	}
	return "o "
}

// weigh gives each word the weight 1 + ln(names / names with it): what all names
// have tells none apart (K. Spärck Jones, Journal of Documentation 28, 1972).
func (x *Index) weigh() {
	all := float64(len(x.names))
	x.rare = 1 + math.Log(math.Max(all, 1))
	x.weight = make([]float64, len(x.words))
	for i, with := range x.with {
		x.weight[i] = 1 + math.Log(all/float64(len(with)))
	}
	for i := range x.names {
		for _, w := range x.names[i].words {
			x.names[i].total += x.weight[w]
		}
	}
}

// sums adds up by name what the words that it shares weigh.
type sums struct {
	of      []float64
	touched []int32
}

func (s *sums) add(name int32, weight float64) {
	if s.of[name] == 0 {
		s.touched = append(s.touched, name)
	}
	s.of[name] += weight
}

func (s *sums) clear() {
	for _, n := range s.touched {
		s.of[n] = 0
	}
	s.touched = s.touched[:0]
}
