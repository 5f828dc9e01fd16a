package seal

import (
	"errors"
	"strconv"

	"finobs/internal/audit"
	"finobs/internal/canonical"
	"finobs/internal/export"
	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/note"
)

// log checks that the manifest's digest is in the log, and what the manifest says
// about the log.
func (v *verification) log() error {
	if err := v.entry(); err != nil {
		return err
	}
	if v.trust.Log.Keys == nil {
		return flawed(export.KeyUnknown, "log_key", "no key of the log is trusted")
	}
	index, tree, err := v.trust.Log.Included(v.small[LeafFile], v.small[ProofFile])
	switch {
	case errors.Is(err, audit.ErrSignature):
		return logSignature(err, "log")
	case err != nil:
		return tampered("not_in_log", "%v", err)
	}
	v.report.LeafIndex, v.report.Log = index, tree
	if err := v.bounds(index); err != nil {
		return err
	}
	v.held("log", "the manifest is entry %d of the log of %d entries that a trusted key has signed", index, tree.Size)
	return nil
}

// logSignature tells a log that nobody trusts from a checkpoint that was changed.
func logSignature(err error, what string) error {
	if _, damaged := errors.AsType[*note.InvalidSignatureError](err); damaged {
		return flawed(export.SignatureInvalid, what+"_signature", "%v", err)
	}
	return flawed(export.KeyUnknown, what+"_key", "%v", err)
}

// entry checks that the leaf tells of exactly this export and manifest.
func (v *verification) entry() error {
	p := v.report.Statement.Predicate
	leaf, err := canonical.Parse(v.small[LeafFile])
	if err != nil || len(v.small[LeafFile]) > ledger.MaxLeaf {
		return tampered("not_in_log", "%s is no entry of a log: %v", LeafFile, err)
	}
	text := func(o any, name string) string {
		members, _ := o.(map[string]any) // nil has no members
		s, _ := members[name].(string)
		return s
	}
	subject, details, top := leaf["subject"], leaf["details"], map[string]any(leaf)
	id := strconv.FormatInt(p.ExportID, 10)
	switch {
	case text(top, "type") != "effect.done" || text(subject, "kind") != "export":
		return tampered("not_in_log", "%s is an entry of type %q about a %q, not about a finished export", LeafFile, text(top, "type"), text(subject, "kind"))
	case text(subject, "id") != id:
		return tampered("swapped", "%s is about export %s", LeafFile, text(subject, "id"))
	case leaf["is_simulation"] != p.Simulation:
		return tampered("not_in_log", "the entry and the manifest differ in whether this is a simulation")
	}
	for name, want := range map[string]string{
		"manifest_sha256": v.report.ManifestSHA256, "content_sha256": p.ContentSHA256, "rows": strconv.FormatInt(p.Rows, 10), "action_digest": p.ActionDigest,
	} {
		if got := text(details, name); got != want {
			return tampered("not_in_log", "the entry has %s %q, not %q", name, got, want)
		}
	}
	return nil
}

// bounds checks the checkpoint in the manifest: it is of this log, it covers the
// entries that were exported, and the manifest was entered after it.
func (v *verification) bounds(index int64) error {
	p := v.report.Statement.Predicate
	to, bounded, err := p.leaves()
	if err != nil {
		return tampered("manifest", "%v", err)
	}
	if p.Checkpoint == "" {
		return nil
	}
	then, err := v.trust.Log.Open([]byte(p.Checkpoint))
	switch {
	case errors.Is(err, audit.ErrSignature):
		return logSignature(err, "checkpoint")
	case err != nil:
		return tampered("checkpoint", "%v", err)
	case bounded && to > then.Size:
		return tampered("checkpoint", "entries up to %d were exported from a log of %d", to, then.Size)
	case then.Size > index:
		return tampered("checkpoint", "the manifest is entry %d, and names a log of %d entries before it", index, then.Size)
	}
	return nil
}
