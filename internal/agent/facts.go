package agent

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Facts of an incident, in addition to "details." and the name of a detail. Details
// may come from whoever sent an alert: they steer what is said, never what is done.
const (
	FactKind           = "kind"            // trade_break, failed_settlement, system_outage or other
	FactSeverity       = "severity"        // as the incident has it: low, medium, high or critical
	FactPriority       = "priority"        // p1 to p4
	FactStatus         = "status"          // of the incident, settlement, system or trade
	FactSystem         = "system"          // where it is wrong
	FactSource         = "source"          // what opened it
	FactOwner          = "owner"           // the queue that has to deal with it
	FactDesk           = "desk"            // whose it is
	FactExposureUSD    = "exposure_usd"    // money at risk in US dollars, a decimal
	FactOccurrences    = "occurrences"     // how often it was reported
	FactSubjectKind    = "subject_kind"    // such as security, system, feed or trade_break
	FactSubjectID      = "subject_id"      // such as a CUSIP
	FactAgeMinutes     = "age_minutes"     // since it was opened, or reopened last
	FactAckOverdue     = "ack_overdue"     // true when nobody acknowledged it in the time promised
	FactResolveOverdue = "resolve_overdue" // true when it is not resolved in the time promised
	FactImpact         = "impact"          // of a ticket, 1 is the widest
	FactUrgency        = "urgency"         // of a ticket, 1 is the most urgent
	FactScale          = "scale"           // how many grades impact and urgency have: 3 or 5
	DetailPrefix       = "details."
)

// Facts of a settlement.
const (
	FactFailsQuantity = "fails_quantity"  // shares not delivered, a balance
	FactFailsDays     = "fails_days"      // consecutive settlement days over the threshold
	FactFailsValueUSD = "fails_value_usd" // market value of the balance in US dollars
)

// Facts of a system.
const (
	FactHeartbeatAge = "heartbeat_age_seconds" // since it was last heard of
	FactSilent       = "silent"                // true when too many heartbeats are missing
)

// Facts of a trade, and of the same trade as the other side states it.
const (
	FactTradeID        = "trade_id"
	FactSide           = "side"
	FactQuantity       = "quantity"
	FactPrice          = "price"
	FactCurrency       = "currency" // ISO 4217
	FactSymbol         = "symbol"
	FactAccount        = "account"
	FactCounterparty   = "counterparty"
	FactSettlementDate = "settlement_date" // YYYY-MM-DD
)

// Facts of a target, in addition to the fields of the object itself. The kind is
// under FactKind.
const (
	FactID        = "id"
	FactVersion   = "version"   // moves with each change of the object
	FactConnector = "connector" // through which it was read
)

// FactsOf lists the facts that an evidence of a kind may have; nil for kinds of
// which rules know none. An evidence need not have all of them.
func FactsOf(k EvidenceKind) []string {
	trade := []string{
		FactTradeID, FactSide, FactQuantity, FactPrice, FactCurrency, FactSymbol, FactAccount, FactCounterparty, FactSettlementDate, FactStatus,
	}
	switch k {
	case OfIncident, OfRelated:
		return []string{
			FactKind, FactSeverity, FactPriority, FactStatus, FactSystem, FactSource, FactOwner, FactDesk, FactExposureUSD, FactOccurrences,
			FactSubjectKind, FactSubjectID, FactAgeMinutes, FactAckOverdue, FactResolveOverdue, FactImpact, FactUrgency, FactScale,
		}
	case OfSettlement:
		return []string{FactFailsQuantity, FactFailsDays, FactFailsValueUSD, FactStatus}
	case OfSystem:
		return []string{FactHeartbeatAge, FactStatus, FactSilent}
	case OfTrade, OfOtherSide:
		return trade
	case OfTarget:
		return []string{FactKind, FactID, FactVersion, FactConnector}
	default:
		return nil
	}
}

// Limits of what senders wrote into details, in bytes: facts that finobs made, and the
// words, keep their room in a text.
const (
	maxDetail  = 300     // of a value; a longer one ends with what says that it was cut
	maxDetails = 4 << 10 // of all lines of details
)

const cutMark = " [cut]"

// FactDetailsLeftOut counts the details for which there was no room. It is itself one
// of the details: what senders write has a part in it.
const FactDetailsLeftOut = DetailPrefix + "(left_out)"

// Show makes an evidence whose text shows every fact as a line "key: value", then an
// empty line and the words. The facts that finobs made come first, in the order of
// their keys; details, which senders write, come after them within their limits. Line
// ends within a fact become spaces, facts without a value are left out, and bytes that
// are not UTF-8 are replaced, so that FactSpan finds every fact that is kept.
func Show(id string, kind EvidenceKind, source string, facts map[string]string, words string) Evidence {
	kept := map[string]string{}
	room, left := maxDetails, 0
	for _, key := range slices.Sorted(maps.Keys(facts)) {
		value, name := oneLine(facts[key]), oneLine(key)
		if value == "" || name == "" {
			continue
		}
		if strings.HasPrefix(name, DetailPrefix) {
			value = clipped(value)
			if room -= len(name) + len(": ") + len(value) + len("\n"); room < 0 {
				left++
				continue
			}
		}
		kept[name] = value
	}
	if left > 0 {
		kept[FactDetailsLeftOut] = strconv.Itoa(left)
	}
	var text strings.Builder
	for _, key := range slices.SortedFunc(maps.Keys(kept), detailsLast) {
		text.WriteString(key + ": " + kept[key] + "\n")
	}
	if words = strings.ToValidUTF8(words, "\uFFFD"); words != "" {
		text.WriteString("\n" + words)
	}
	return Evidence{ID: id, Kind: kind, Source: source, Facts: kept, Text: text.String(), SHA256: Digest(text.String())}
}

func detailsLast(a, b string) int {
	detail := func(key string) int {
		if strings.HasPrefix(key, DetailPrefix) {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(detail(a), detail(b)), cmp.Compare(a, b))
}

func clipped(value string) string {
	if len(value) <= maxDetail {
		return value
	}
	return strings.TrimSpace(cut(value, maxDetail-len(cutMark))) + cutMark
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
}

// FactSpan is the span of an evidence's text in which a fact is shown: the first
// line that is exactly "key: value". It reports false when there is no such fact or
// no such line.
func FactSpan(e Evidence, key string) (Cite, bool) {
	value, given := e.Facts[key]
	if !given || value == "" {
		return Cite{}, false
	}
	line := key + ": " + value
	for from := 0; from <= len(e.Text)-len(line); {
		at := strings.Index(e.Text[from:], line)
		if at < 0 {
			break
		}
		at += from
		end := at + len(line)
		if (at == 0 || e.Text[at-1] == '\n') && (end == len(e.Text) || e.Text[end] == '\n') {
			return Cite{Evidence: e.ID, Start: at, End: end, Quote: line}, true
		}
		from = at + 1
	}
	return Cite{}, false
}

// Words is the byte of an evidence's text at which the lines that show its facts
// end, and the words of people and machines begin.
func Words(e Evidence) int {
	at := 0
	for at < len(e.Text) {
		line, _, more := strings.Cut(e.Text[at:], "\n")
		key, value, found := strings.Cut(line, ": ")
		if shown, known := e.Facts[key]; !found || !known || shown != value {
			break
		}
		at += len(line)
		if more {
			at++
		}
	}
	return at
}
