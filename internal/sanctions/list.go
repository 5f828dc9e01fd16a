package sanctions

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"finobs/internal/fault"
)

// Type is what an entry of the list is.
type Type string

// The closed set of types. The list states none for entities.
const (
	Entity     Type = "entity"
	Individual Type = "individual"
	Vessel     Type = "vessel"
	Aircraft   Type = "aircraft"
)

// AliasKind says how an alias relates to the name, in the words of the list.
type AliasKind string

// The closed set of kinds of aliases.
const (
	AKA AliasKind = "aka" // also known as
	FKA AliasKind = "fka" // formerly known as
	NKA AliasKind = "nka" // now known as
)

// Entry is a person, entity, vessel or aircraft on the list.
type Entry struct {
	ID        string // the list's number of it, ent_num
	Name      string // as listed; of individuals "LAST, First"
	Type      Type
	Programme string // such as "CUBA" or "SDGT] [IRGC"; as listed
	Title     string
	Remarks   string
	Aliases   []Alias
	Addresses []Address
}

// Alias is another name of an entry. A weak one is too broad or too common to
// screen by on its own; OFAC sets those in quotes among the remarks.
type Alias struct {
	Kind AliasKind
	Name string
	Weak bool
}

// Address is where an entry is, as far as the list says.
type Address struct{ Street, City, Country string }

// List is an OFAC list that was read, entries in the order of its file.
type List struct {
	Entries []Entry
	byID    map[string]int
}

// MaxEntries is how many entries, aliases or addresses a list may have, each. The
// SDN list of 2025 has fewer than 40,000 of either.
const MaxEntries = 500_000

// Files are the three files of a list, in OFAC's "delimited" CSV format without a
// header: https://ofac.treasury.gov/sanctions-list-service, data specification
// "dat_spec.txt". Alt and Add may be nil.
type Files struct{ SDN, Alt, Add io.Reader }

// Read reads a list. It fails with a fault of kind Invalid that names the file, the
// line and the column, and of kind TooLarge over the limits: half a list would
// clear people whom it should not.
func Read(files Files) (*List, error) {
	l := &List{byID: map[string]int{}}
	if files.SDN == nil {
		return nil, fault.New(fault.Invalid, "no-sanctions-list", "there is no SDN file; give sdn.csv")
	}
	if err := eachLine(files.SDN, "sdn", 12, l.entry); err != nil {
		return nil, err
	}
	if len(l.Entries) == 0 {
		return nil, fault.New(fault.Invalid, "no-sanctions-list", "the SDN file has no entry; download it again, an empty list would clear everybody")
	}
	if files.Alt != nil {
		if err := eachLine(files.Alt, "alt", 5, l.alias); err != nil {
			return nil, err
		}
	}
	if files.Add != nil {
		if err := eachLine(files.Add, "add", 6, l.address); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Entry finds an entry by its number.
func (l *List) Entry(id string) (Entry, bool) {
	i, found := l.byID[id]
	if !found {
		return Entry{}, false
	}
	return l.Entries[i], true
}

// entry takes a line of the SDN file: ent_num, name, type, programme, title, call
// sign, vessel type, tonnage, GRT, flag, owner, remarks.
func (l *List) entry(at place, f []string) error {
	e := Entry{ID: f[0], Name: f[1], Programme: f[3], Title: f[4], Remarks: f[11]}
	switch t := strings.ToLower(f[2]); t {
	case "", string(Entity):
		e.Type = Entity
	case string(Individual), string(Vessel), string(Aircraft):
		e.Type = Type(t)
	default:
		return at.wrong(3, "type %q must be empty, individual, vessel or aircraft", f[2])
	}
	if e.Name == "" {
		return at.wrong(2, "the name is empty")
	}
	if _, twice := l.byID[e.ID]; twice {
		return at.wrong(1, "there is an entry %s already; give one version of the list", e.ID)
	}
	for _, m := range quotedAlias.FindAllStringSubmatch(e.Remarks, maxQuoted) {
		e.Aliases = append(e.Aliases, Alias{Kind: AliasKind(m[1] + "ka"), Name: m[2], Weak: true})
	}
	l.byID[e.ID] = len(l.Entries)
	l.Entries = append(l.Entries, e)
	return nil
}

// quotedAlias finds weak aliases among remarks: a.k.a. 'BNC'.
var quotedAlias = regexp.MustCompile(`\b([afn])\.k\.a\. '([^']+)'`)

const maxQuoted = 50 // weak aliases of an entry

// alias takes a line of the ALT file: ent_num, alt_num, kind, name, remarks.
func (l *List) alias(at place, f []string) error {
	i, known := l.byID[f[0]]
	if !known {
		return at.wrong(1, "there is no entry %s in the SDN file; give files of the same day", f[0])
	}
	kind := AliasKind(strings.ToLower(f[2]))
	if kind != AKA && kind != FKA && kind != NKA {
		return at.wrong(3, "kind %q must be aka, fka or nka", f[2])
	}
	if f[3] == "" {
		return at.wrong(4, "the alias is empty")
	}
	l.Entries[i].Aliases = append(l.Entries[i].Aliases, Alias{Kind: kind, Name: f[3]})
	return nil
}

// address takes a line of the ADD file: ent_num, add_num, street, city, country,
// remarks.
func (l *List) address(at place, f []string) error {
	i, known := l.byID[f[0]]
	if !known {
		return at.wrong(1, "there is no entry %s in the SDN file; give files of the same day", f[0])
	}
	if a := (Address{f[2], f[3], f[4]}); a != (Address{}) {
		l.Entries[i].Addresses = append(l.Entries[i].Addresses, a)
	}
	return nil
}

// place is where in which file a line stands.
type place struct {
	file string
	line int
}

func (p place) wrong(column int, format string, args ...any) error {
	return fault.New(fault.Invalid, "invalid-sanctions-list", "%s file, line %d, column %d: %s", p.file, p.line, column, fmt.Sprintf(format, args...))
}
