package compliance

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"

	"finobs/internal/canonical"
	"finobs/internal/desk"
	"finobs/internal/fault"
	"finobs/internal/plaintext"

	"github.com/shopspring/decimal"
)

// Finding is something that people should judge.
type Finding struct {
	ID          string            `json:"id"` // digest of rule, revision, party and records: the same finding has it in every run
	Rule        string            `json:"rule"`
	RuleVersion int               `json:"rule_version"`
	Purpose     Purpose           `json:"purpose"`
	Severity    desk.Severity     `json:"severity"`
	Party       string            `json:"party"`   // whom it is about
	Parties     []string          `json:"parties"` // all who take part, Party among them, sorted; at most Options.MaxRecords
	Records     []string          `json:"records"` // ids, the oldest first; at most Options.MaxRecords
	RecordCount int               `json:"record_count"`
	First       time.Time         `json:"first"` // time of the oldest record
	Last        time.Time         `json:"last"`
	Facts       map[string]string `json:"facts"` // what was computed, for programs
	Text        string            `json:"text"`  // what was found
	Why         string            `json:"why"`   // the rule in words, and its source
}

const findingDomain = "finobs/compliance/finding/v1"

// episode gathers the records of one finding, in bounded memory.
type episode struct {
	party       string
	parties     map[string]bool
	records     []string
	digest      hash.Hash
	count       int
	first, last time.Time
	facts       map[string]string
	text        string
}

func newEpisode(party string) *episode {
	return &episode{party: party, parties: map[string]bool{}, digest: sha256.New()}
}

// add takes the next record; limit bounds what is listed, not what is counted.
func (e *episode) add(id string, at time.Time, limit int, parties ...string) {
	if e.count == 0 || at.Before(e.first) {
		e.first = at
	}
	if at.After(e.last) {
		e.last = at
	}
	e.count++
	fmt.Fprintf(e.digest, "%d:%s", len(id), id)
	if len(e.records) < limit {
		e.records = append(e.records, id)
	}
	for _, p := range parties {
		if p != "" && len(e.parties) < limit {
			e.parties[p] = true
		}
	}
}

// findings collects what the rules find.
type findings struct {
	list  []Finding
	limit int
}

// take makes a finding of an episode.
func (f *findings) take(r *Rule, e *episode) error {
	if len(f.list) >= f.limit {
		return fault.New(fault.TooLarge, "too-many-findings", "the rules find over %d things, of which rule %s is one; look at fewer records, or raise its threshold", f.limit, r.Name)
	}
	e.parties[e.party] = true
	delete(e.parties, "")
	parties := make([]string, 0, len(e.parties))
	for p := range e.parties {
		parties = append(parties, p)
	}
	slices.Sort(parties)
	id, err := canonical.Digest(findingDomain, canonical.Object{
		"rule": r.Name, "revision": strconv.Itoa(r.Revision), "party": strings.ToValidUTF8(e.party, "\ufffd"),
		"records": hex.EncodeToString(e.digest.Sum(nil)),
	})
	if err != nil {
		return fmt.Errorf("naming a finding: %w", err)
	}
	f.list = append(f.list, Finding{
		ID: id, Rule: r.Name, RuleVersion: r.Revision, Purpose: r.Purpose, Severity: r.Severity, Party: e.party, Parties: parties,
		Records: e.records, RecordCount: e.count, First: e.first, Last: e.last, Facts: e.facts, Text: e.text, Why: r.why(),
	})
	return nil
}

func (f *findings) sorted() []Finding {
	slices.SortFunc(f.list, func(a, b Finding) int {
		return cmp.Or(a.Last.Compare(b.Last), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Party, b.Party), cmp.Compare(a.ID, b.ID))
	})
	return f.list
}

// word makes a value of a record fit for a sentence.
func word(s string) string {
	if s = plaintext.Line(s, 60); s == "" {
		return "(not stated)"
	}
	return s
}

func money(d decimal.Decimal, currency string) string {
	if currency == "" {
		return d.String()
	}
	return d.String() + " " + word(currency)
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
