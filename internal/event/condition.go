package event

import (
	"maps"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/desk"
	"finobs/internal/incident"
)

// Detector is who opens incidents on the strength of a rule.
func Detector() approval.Principal {
	return approval.Principal{Kind: approval.System, Person: approval.Person{Issuer: "finobs", Subject: "detector"}}
}

// Occurrence is what an incident makes of e, and whether it makes anything of it:
// a reject or a logout by itself is no condition, and an acknowledgement in
// somebody else's system is none of a person here.
//
// Notices, alerts of severity info or low, fold into one incident a system. Each is
// too small to look at, and together they are what nobody looked at before the
// loss: 97 of them reached Knight Capital's mailboxes before the open of
// 1 August 2012 (SEC release 34-70694). That a notice ended does not end the
// incident; a person does.
func (e Event) Occurrence(deskName string) (incident.Occurrence, bool) {
	o := incident.Occurrence{Key: e.Source + "/" + e.Key, At: e.OccurredAt, Firing: e.State != Resolved, AutoResolve: true, Incident: e.incident(deskName)}
	if len(o.Key) > MaxKey {
		o.Key = digestOf(o.Key)
	}
	switch e.Kind {
	case Alert:
		if e.State == Acknowledged {
			return o, false
		}
		if e.Severity == Info || e.Severity == Low {
			return e.notice(o)
		}
	case SequenceGap, Disconnect, DontKnowTrade:
		return o, e.State == Firing
	case Logon:
		o.Firing, o.Incident.DedupKey = false, e.key(Disconnect)
	case OrderReject, CancelReject, BusinessReject, SessionReject, Logout, TradeBust, TradeCorrect:
		return o, false
	}
	return o, true
}

func (e Event) notice(o incident.Occurrence) (incident.Occurrence, bool) {
	system := e.System
	if system == "" {
		system = e.Source
	}
	o.Incident.Kind, o.Incident.DedupKey, o.Incident.SubjectID = incident.Other, Bounded(incident.NoticesPrefix+e.Source+":"+system), system
	o.Incident.Title = Cut("Notices from "+system+" that nobody has acknowledged", MaxTitle)
	o.Incident.Description = Cut("The first of them: "+e.Title+"\n"+e.Detail, MaxDetail)
	return o, e.State == Firing
}

// key is the dedup key of the condition that an event of a kind is about.
func (e Event) key(k Kind) string {
	switch k {
	case Alert, DontKnowTrade:
		return Bounded(string(k) + ":" + e.Source + ":" + e.Fingerprint)
	default:
		return Bounded(string(k) + ":" + e.Source + ":" + e.System)
	}
}

func (e Event) incident(deskName string) incident.Incident {
	i := incident.Incident{
		Kind: incident.SystemOutage, Severity: e.Severity.Desk(), Status: incident.Open, Title: e.Title, Description: e.Detail,
		Desk: deskName, Source: e.Source, DedupKey: e.key(e.Kind), SubjectKind: "system", SubjectID: e.System, System: e.System,
		Origin: e.Origin, OpenedBy: Detector(), TraceID: e.TraceID, Details: map[string]string{},
	}
	maps.Copy(i.Details, e.Labels)
	i.Details["event_kind"] = string(e.Kind) // whatever a sender calls its labels
	if e.URL != "" {
		i.Details["url"] = e.URL
	}
	if e.Kind == DontKnowTrade { // the other side denies a trade of ours
		i.Kind, i.SubjectKind, i.SubjectID = incident.TradeBreak, "execution", e.Ref
		if i.Severity == desk.Low {
			i.Severity = desk.Medium
		}
	}
	if strings.TrimSpace(i.Title) == "" {
		i.Title = Cut(string(e.Kind)+" of "+e.Source, MaxTitle)
	}
	return i
}

// Bounded keeps a key within the limit: a long one becomes its beginning and its
// digest.
func Bounded(key string) string {
	if len(key) <= MaxKey {
		return key
	}
	return Cut(key, MaxKey-65) + ":" + digestOf(key)
}
