package incident

import (
	"finobs/internal/canonical"
	"finobs/internal/desk"
)

// Fields is what a person says of a new incident.
type Fields struct {
	Kind        string `json:"kind"`
	Severity    string `json:"severity"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Desk        string `json:"desk"`
	SubjectKind string `json:"subject_kind"`
	SubjectID   string `json:"subject_id"`
	DedupKey    string `json:"dedup_key"`
	Origin      string `json:"origin"`
	System      string `json:"system,omitempty"`
	Owner       string `json:"owner,omitempty"`
}

// Digest is what the API's command to open the incident is bound to.
func (f Fields) Digest() (string, error) {
	o := canonical.Object{
		"kind": f.Kind, "severity": f.Severity, "title": f.Title, "description": f.Description, "desk": f.Desk,
		"subject_kind": f.SubjectKind, "subject_id": f.SubjectID, "dedup_key": f.DedupKey, "origin": f.Origin,
	}
	// Left out where they are empty, as they were before there were such fields.
	for name, value := range map[string]string{"system": f.System, "owner": f.Owner} {
		if value != "" {
			o[name] = value
		}
	}
	return canonical.Digest("finobs.incident.v1", o)
}

// Incident is the incident that the fields describe; its opener is not known yet.
func (f Fields) Incident() Incident {
	return Incident{
		Kind: Kind(f.Kind), Severity: desk.Severity(f.Severity), Status: Open,
		Title: f.Title, Description: f.Description, Desk: f.Desk, Source: "manual", DedupKey: f.DedupKey,
		SubjectKind: f.SubjectKind, SubjectID: f.SubjectID, Origin: Origin(f.Origin), System: f.System, Owner: f.Owner, Details: map[string]string{},
	}
}
