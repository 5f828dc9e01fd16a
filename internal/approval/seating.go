package approval

// seating gives people to groups in the best possible way: as many places as
// possible are taken, each by a person of his own. It is a maximum flow with
// augmenting paths, source to person to group to sink; somebody who decides in
// another's place goes through that other, who is used up with him.
type seating struct {
	arcs   []arc   // arc i and arc i^1 are each other's reverse
	from   [][]int // node -> arcs that leave it
	seats  []seat
	chairs map[*Group]int // group -> its arc to the sink
	taken  int            // places taken
}

type arc struct{ to, room int }

// seat is a node from which somebody may take a place, and where.
type seat struct {
	node int
	at   places
}

const (
	source = 0
	sink   = 1
)

// newSeating makes a seating of people who may each take one of the places.
func newSeating(people ...places) *seating {
	s := &seating{chairs: map[*Group]int{}}
	s.node() // source
	s.node() // sink
	for _, at := range people {
		s.person(at)
	}
	return s
}

func (s *seating) node() int {
	s.from = append(s.from, nil)
	return len(s.from) - 1
}

func (s *seating) join(from, to, room int) int {
	s.arcs = append(s.arcs, arc{to, room}, arc{from, 0})
	i := len(s.arcs) - 2
	s.from[from] = append(s.from[from], i)
	s.from[to] = append(s.from[to], i+1)
	return i
}

// person adds somebody who may take one of the places at.
func (s *seating) person(at places) int {
	n := s.node()
	s.join(source, n, 1)
	s.seats = append(s.seats, seat{n, at})
	return n
}

// proxied adds somebody who takes a place only through one of the people who may
// decide for him.
func (s *seating) proxied(at places, through []int) {
	in, out := s.node(), s.node()
	s.join(in, out, 1)
	s.seats = append(s.seats, seat{out, at})
	for _, n := range through {
		s.join(n, in, 1)
	}
}

// open adds the places of groups, and seats whom it can. Places that are taken
// stay taken: of two sets opened one after the other, the first is filled first.
func (s *seating) open(groups ...*Group) {
	for _, g := range groups {
		if g == nil {
			continue
		}
		n := s.node()
		for _, seat := range s.seats {
			if g.in(seat.at) {
				s.join(seat.node, n, 1)
			}
		}
		s.chairs[g] = s.join(n, sink, g.N)
	}
	for s.push(source, make([]bool, len(s.from))) {
		s.taken++
	}
}

// empty counts the places of g that nobody takes.
func (s *seating) empty(g *Group) int { return s.arcs[s.chairs[g]].room }

func (s *seating) push(node int, seen []bool) bool {
	if node == sink {
		return true
	}
	seen[node] = true
	for _, i := range s.from[node] {
		if s.arcs[i].room > 0 && !seen[s.arcs[i].to] && s.push(s.arcs[i].to, seen) {
			s.arcs[i].room--
			s.arcs[i^1].room++
			return true
		}
	}
	return false
}

// useful reports whether somebody at more, beside people, takes a place that
// stays empty without him, in AllOf or in AllOf with one group of AnyOf.
func (s *Stage) useful(people []places, more places) bool {
	if len(people) == 0 { // whoever may sit anywhere takes a place
		return more&s.places() != 0
	}
	for _, alternative := range s.alternatives() {
		before, after := newSeating(people...), newSeating(append(people[:len(people):len(people)], more)...)
		for _, seating := range []*seating{before, after} {
			seating.open(s.required()...)
			seating.open(alternative)
		}
		if after.taken > before.taken {
			return true
		}
	}
	return false
}

// missing says in words which places people leave empty; nothing when the stage
// is complete.
func (s *Stage) missing(people []places) []string {
	var words, choice []string
	complete := false
	for i, alternative := range s.alternatives() {
		seating := newSeating(people...)
		seating.open(s.required()...)
		seating.open(alternative)
		if i == 0 {
			for _, g := range s.required() {
				words = append(words, wanted(g, seating.empty(g))...)
			}
		}
		if alternative == nil || seating.empty(alternative) == 0 {
			complete = true
			continue
		}
		choice = append(choice, wanted(alternative, seating.empty(alternative))...)
	}
	if !complete {
		words = append(words, joinOr(choice))
	}
	return words
}
