package export

import "finobs/internal/approval"

// RecordVersion is the version of Record's form.
const RecordVersion = "1"

// Record is everything that the record says of one export: with the artefact and
// the API's public decision key it is enough to check, without finobs, that
// people approved exactly this export and that the bytes are what was sealed.
type Record struct {
	Version   string              `json:"version"`
	Export    Export              `json:"export"`
	Approval  approval.Request    `json:"approval"`
	Decisions []approval.Recorded `json:"decisions"`
	Entries   []RecordEntry       `json:"entries"`
}

// RecordEntry is a ledger entry about the export or its approval.
type RecordEntry struct {
	ID         string `json:"entry_id"`
	Type       string `json:"type"`
	Leaf       string `json:"leaf"` // the bytes that are hashed
	LeafSHA256 string `json:"leaf_sha256"`
}
