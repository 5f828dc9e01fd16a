package sanctions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Method says how a name was found.
type Method string

// The closed set of methods, the surest first.
const (
	Exact    Method = "exact"     // the listed name, in its compared form
	ByAlias  Method = "alias"     // dito, of an alias
	TokenSet Method = "token_set" // the words in another order, or nearly the same words
	OneEdit  Method = "one_edit"  // one letter more, less or another, or two swapped
)

// Score is how alike two names are, in hundredths, rounded down: 100 only of names
// whose compared forms are the same.
type Score int

// ParseScore reads "0.92".
func ParseScore(text string) (Score, error) {
	whole, part, ok := strings.Cut(text, ".")
	if ok && len(part) == 2 && (whole == "0" || whole == "1" && part == "00") && isDigits(part) {
		s := Score(int(part[0]-'0')*10 + int(part[1]-'0'))
		if whole == "1" {
			s = 100
		}
		return s, nil
	}
	return 0, fmt.Errorf(`score %q must be "0.00" to "1.00", with two digits after the point`, cut(text, 40))
}

func isDigits(s string) bool {
	return strings.Trim(s, "0123456789") == ""
}

// String writes the score as ParseScore reads it.
func (s Score) String() string { return fmt.Sprintf("%d.%02d", s/100, s%100) }

// Query is a name to look for.
type Query struct {
	Name  string
	Least Score  // of a match
	Types []Type // that may match; empty: all
}

// Match is an entry that may be meant, with the most alike of its names.
type Match struct {
	EntryID   string
	Type      Type
	Programme string
	Name      string // of the entry
	Matched   string // the name or alias that is alike
	Alias     AliasKind
	Weak      bool // the alias is weak
	Method    Method
	Score     Score
	Words     []Pair // how words were paired, in the order of the query
}

// Pair is a word of a query and the listed word that it was paired with, in their
// compared forms.
type Pair struct {
	Query, Listed string
	Score         Score
}

const (
	maxMatches = 10
	// wordLeast is the least similarity of words that are paired. 0.85 keeps one
	// edit in five letters.
	wordLeast = 0.85
	// minAlone is the letters that a name of one word needs to be found with an edit.
	minAlone = 6
	// compactScore is for the same letters with spaces elsewhere, orderScore for the
	// same words in another order, weakScore for a weak alias, word for word.
	compactScore, orderScore, weakScore = 98, 99, 85
)

// Match finds the entries that a name may mean, the most alike first; at most ten.
//
// The words of the name and of each listed name are compared: NFKD, without marks,
// case, punctuation, legal forms ("Ltd"), stop words ("of") and titles ("Dr").
// The same words in the same order are exact or alias, score 1.00; of a weak alias
// 0.85, and it is found in no other way. Else words are paired, each one once, the
// most alike first: they must be the same or share a deletion of one letter and
// have a Jaro-Winkler similarity of at least 0.85. The score is the sum over pairs
// of similarity times both words' weights, divided by the weights of all words of
// both names (soft TF-IDF: W. Cohen, P. Ravikumar, S. Fienberg, IIWeb 2003). It is
// at most 0.99; the same letters with spaces elsewhere have 0.98.
func (x *Index) Match(q Query) []Match {
	all := tokens(q.Name)
	if len(all) == 0 {
		return nil
	}
	best := map[int32]Match{}
	for _, t := range []Type{Individual, Entity} {
		words := core(all, t)
		x.same(classOf(t), words, q, best)
		x.alike(t == Individual, words, q, best)
	}
	x.edits.find(all, func(name int32, score Score) {
		if a := x.aliasOf(name); a == nil || !a.Weak {
			x.keep(name, min(score, compactScore), OneEdit, nil, q, best)
		}
	})
	out := make([]Match, 0, len(best))
	for _, m := range best {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(len(a.EntryID), len(b.EntryID)), cmp.Compare(a.EntryID, b.EntryID))
	})
	return out[:min(len(out), maxMatches)]
}

// same finds names whose words are the same.
func (x *Index) same(class string, words []string, q Query, best map[int32]Match) {
	for _, n := range x.exact[class+strings.Join(words, " ")] {
		score, method := Score(100), Exact
		if alias := x.aliasOf(n); alias != nil {
			method = ByAlias
			if alias.Weak {
				score = weakScore
			}
		}
		x.keep(n, score, method, nil, q, best)
	}
	for _, n := range x.compact[class+strings.Join(words, "")] {
		if a := x.aliasOf(n); a == nil || !a.Weak {
			x.keep(n, compactScore, TokenSet, nil, q, best)
		}
	}
}

// near is a listed word that is like one of a query.
type near struct {
	word  int32
	alike float64
}

// alike finds names with words that are alike.
func (x *Index) alike(persons bool, words []string, q Query, best map[int32]Match) {
	sums, _ := x.scratch.Get().(*sums)
	defer func() { sums.clear(); x.scratch.Put(sums) }()
	weights, total := make([]float64, len(words)), 0.0
	like := make([][]near, len(words))
	for i, w := range words {
		like[i] = x.nearWords(w)
		weights[i] = x.weightOf(w, like[i])
		total += weights[i]
		for _, n := range like[i] {
			for _, name := range x.with[n.word] {
				sums.add(name, n.alike*(weights[i]+x.weight[n.word]))
			}
		}
	}
	least := float64(q.Least) / 100
	for _, n := range sums.touched {
		name := &x.names[n]
		// No pairing has more than the sum over all words that are alike.
		if sums.of[n] < least*(total+name.total) || (x.list.Entries[name.entry].Type == Individual) != persons {
			continue
		}
		if a := x.aliasOf(n); a != nil && a.Weak {
			continue
		}
		score, pairs := x.pair(name, words, weights, total, like)
		x.keep(n, score, TokenSet, pairs, q, best)
	}
}

// weightOf is the weight of a word of a query: of one that no name has, that of the
// most alike one, for which it may be misspelt.
func (x *Index) weightOf(word string, like []near) float64 {
	if id, known := x.wordID[word]; known {
		return x.weight[id]
	}
	weight, best := x.rare, 0.0
	for _, n := range like {
		if n.alike > best || n.alike == best && x.weight[n.word] > weight {
			weight, best = x.weight[n.word], n.alike
		}
	}
	return weight
}

// nearWords are the listed words that a word may be paired with.
func (x *Index) nearWords(word string) []near {
	letters := []rune(word)
	var out []near
	for _, d := range deletions(letters) {
		for _, id := range x.near[d] {
			if slices.ContainsFunc(out, func(n near) bool { return n.word == id }) {
				continue
			}
			listed := x.words[id]
			if listed == word {
				out = append(out, near{id, 1})
			} else if s := jaroWinkler(letters, []rune(listed)); s >= wordLeast && len(letters) >= minFuzzy {
				out = append(out, near{id, s})
			}
		}
	}
	return out
}

// pair pairs the words of a query with those of a name.
func (x *Index) pair(name *listed, words []string, weights []float64, total float64, like [][]near) (Score, []Pair) {
	type candidate struct {
		query, at int
		alike     float64
	}
	var candidates []candidate
	for i := range words {
		for _, n := range like[i] {
			for at, w := range name.words {
				if w == n.word {
					candidates = append(candidates, candidate{i, at, n.alike})
				}
			}
		}
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.alike, a.alike), cmp.Compare(a.query, b.query), cmp.Compare(a.at, b.at))
	})
	usedQuery, usedListed := make([]bool, len(words)), make([]bool, len(name.words))
	byQuery := make([]Pair, len(words))
	sum := 0.0
	for _, c := range candidates {
		if usedQuery[c.query] || usedListed[c.at] {
			continue
		}
		if c.alike < 1 && len(name.words) == 1 && len(x.words[name.words[0]]) < minAlone {
			continue
		}
		usedQuery[c.query], usedListed[c.at] = true, true
		w := name.words[c.at]
		sum += c.alike * (weights[c.query] + x.weight[w])
		byQuery[c.query] = Pair{words[c.query], x.words[w], floor(c.alike)}
	}
	pairs := slices.DeleteFunc(byQuery, func(p Pair) bool { return p == Pair{} })
	return min(floor(sum/(total+name.total)), orderScore), pairs
}

// floor rounds a similarity down to hundredths; the addend makes up for the last
// bits of floating point sums, so that 1 stays 1.
func floor(s float64) Score { return Score(s*100 + 1e-9) }

func (x *Index) aliasOf(name int32) *Alias {
	n := x.names[name]
	if n.alias < 0 {
		return nil
	}
	return &x.list.Entries[n.entry].Aliases[n.alias]
}

// keep takes a match unless it has one of the same entry that is as good.
func (x *Index) keep(name int32, score Score, method Method, pairs []Pair, q Query, best map[int32]Match) {
	e := &x.list.Entries[x.names[name].entry]
	if score < q.Least || score == 0 || len(q.Types) > 0 && !slices.Contains(q.Types, e.Type) {
		return
	}
	m := Match{EntryID: e.ID, Type: e.Type, Programme: e.Programme, Name: e.Name, Matched: e.Name, Method: method, Score: score, Words: pairs}
	if a := x.aliasOf(name); a != nil {
		m.Matched, m.Alias, m.Weak = a.Name, a.Kind, a.Weak
	}
	old, have := best[x.names[name].entry]
	if !have || m.Score > old.Score || m.Score == old.Score && better(m, old) {
		best[x.names[name].entry] = m
	}
}

// better breaks ties between names of one entry: its own name, then by letters.
func better(a, b Match) bool {
	if (a.Alias == "") != (b.Alias == "") {
		return a.Alias == ""
	}
	return cmp.Or(cmp.Compare(a.Method, b.Method), cmp.Compare(a.Matched, b.Matched)) < 0
}

// Why says in words why an entry matched.
func (m Match) Why() string {
	name := fmt.Sprintf("listed name %q", m.Matched)
	switch {
	case m.Weak:
		name = fmt.Sprintf("weak alias %q", m.Matched)
	case m.Alias != "":
		name = fmt.Sprintf("alias (%s) %q", m.Alias, m.Matched)
	}
	how := "the same words"
	switch {
	case m.Method == OneEdit:
		how = "one letter more, less or another, or two swapped"
	case len(m.Words) > 0:
		how = "words paired: " + pairsInWords(m.Words)
	case m.Method == TokenSet:
		how = "the same letters with spaces elsewhere"
	}
	return fmt.Sprintf("%s of entry %s, %s, programme %s; method %s, score %s; %s", name, m.EntryID, m.Type, m.Programme, m.Method, m.Score, how)
}

func pairsInWords(pairs []Pair) string {
	var out []string
	for _, p := range pairs {
		word := p.Query
		if p.Query != p.Listed {
			word = fmt.Sprintf("%s for %s (%s)", p.Query, p.Listed, p.Score)
		}
		out = append(out, word)
	}
	return strings.Join(out, ", ")
}
