package seal_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/canonical"
	"finobs/internal/export"
	"finobs/internal/seal"
)

// The operator himself lies, with all his keys but those of the API: what he signs
// does not agree with the approval, the artefact or the log.
func TestWhatAnOperatorSignsMustAgree(t *testing.T) {
	s := newSite(t)
	sealOf := func(change func(*export.Seal)) func(*seal.Facts) {
		return func(f *seal.Facts) { change(f.Export.Seal) }
	}
	foreign := siteNamed(t, "another")
	for name, c := range map[string]struct {
		order
		verdict export.Verdict
		code    string
	}{
		"fewer rows":       {order{change: sealOf(func(s *export.Seal) { s.Rows-- })}, export.Tampered, "content"},
		"another content":  {order{change: sealOf(func(s *export.Seal) { s.ContentSHA256 = strings.Repeat("0", 64) })}, export.Tampered, "content"},
		"more content":     {order{change: sealOf(func(s *export.Seal) { s.ContentBytes++ })}, export.Tampered, "content"},
		"less content":     {order{change: sealOf(func(s *export.Seal) { s.ContentBytes-- })}, export.Tampered, "content"},
		"a file too small": {order{change: sealOf(func(s *export.Seal) { s.FileBytes-- })}, export.Tampered, "recompressed"},
		"read before the decision": {order{change: sealOf(func(s *export.Seal) { s.SnapshotAt = decided.Add(-time.Second) })},
			export.Tampered, "not_approved"},
		"another destination":   {order{change: func(f *seal.Facts) { f.Export.Destination = "mail" }}, export.Tampered, "not_approved"},
		"another filter":        {order{change: func(f *seal.Facts) { f.Export.Filters = map[string]string{"desk": "FX"} }}, export.Tampered, "not_approved"},
		"no filter":             {order{change: func(f *seal.Facts) { f.Export.Filters = nil }}, export.Tampered, "not_approved"},
		"another requester":     {order{change: func(f *seal.Facts) { f.Export.Requester.Subject = "mallory" }}, export.Tampered, "not_approved"},
		"another desk":          {order{change: func(f *seal.Facts) { f.Export.Desk = "FX" }}, export.Tampered, "not_approved"},
		"live, said to be mock": {order{change: func(f *seal.Facts) { f.Export.Simulation = true }}, export.Tampered, "not_approved"},
		"mock, said to be live": {order{simulation: true, change: func(f *seal.Facts) { f.Export.Simulation = false }}, export.Tampered, "not_approved"},
		"of a schedule": {order{change: func(f *seal.Facts) { f.Export.ScheduleID, f.Export.Slot = 1, &asked }},
			export.Tampered, "not_approved"},
		"approved for something else": {order{changeAsked: func(a *approval.Action) { a.Kind, a.Targets = "user.add", nil }}, export.Tampered, "not_approved"},
		"approved in another format":  {order{changeAsked: func(a *approval.Action) { a.Parameters["format"] = "ndjson" }}, export.Tampered, "not_approved"},
		"a decision left out": {order{change: func(f *seal.Facts) {
			f.Approval.Decisions, f.Approval.Statement.Deciders = nil, []approval.ReceiptDecision{}
		}}, export.Tampered, "not_approved"},
		"never decided, and run out": {order{change: func(f *seal.Facts) {
			f.Approval.Decisions, f.Approval.Statement.Deciders = nil, []approval.ReceiptDecision{}
			f.Approval.Request.Status, f.Approval.Statement.Status = approval.Expired, approval.Expired
		}}, export.Tampered, "not_approved"},
		"a decision changed": {order{change: func(f *seal.Facts) {
			f.Approval.Decisions[0].Reason = "another"
		}}, export.Tampered, "not_approved"},
		"a token changed": {order{change: func(f *seal.Facts) {
			token := []byte(f.Approval.Decisions[0].Token)
			token[len(token)-2] ^= 1
			f.Approval.Decisions[0].Token = string(token)
		}}, export.Tampered, "not_approved"},
		"an entry of another manifest": {order{changeEntry: func(o canonical.Object) { o["manifest_sha256"] = export.FirstPrev }}, export.Tampered, "not_in_log"},
		"an entry of another content":  {order{changeEntry: func(o canonical.Object) { o["content_sha256"] = export.FirstPrev }}, export.Tampered, "not_in_log"},
		"an entry of other rows":       {order{changeEntry: func(o canonical.Object) { o["rows"] = "2" }}, export.Tampered, "not_in_log"},
		"an entry of another action":   {order{changeEntry: func(o canonical.Object) { o["action_digest"] = "sha256:0" }}, export.Tampered, "not_in_log"},
		"an entry of another type":     {order{leafType: "effect.intended"}, export.Tampered, "not_in_log"},
		"a checkpoint of another log": {order{change: sealOf(func(s *export.Seal) {
			s.Checkpoint = string(newLog(t, foreign.log, 9).checkpoint())
		})}, export.KeyUnknown, "checkpoint_key"},
		"a changed checkpoint": {order{change: sealOf(func(s *export.Seal) {
			s.Checkpoint = strings.Replace(s.Checkpoint, "\n9\n", "\n8\n", 1)
		})}, export.SignatureInvalid, "checkpoint_signature"},
		"a later checkpoint": {order{change: sealOf(func(x *export.Seal) {
			x.Checkpoint = string(newLog(t, s.log, 12).checkpoint())
		})}, export.Tampered, "checkpoint"},
		"more entries than the log had": {order{dataset: export.Audit, change: sealOf(func(s *export.Seal) { s.ToLeaf = 10 })}, export.Tampered, "checkpoint"},
	} {
		o := c.order
		o.id, o.format, o.compression, o.rows = 7, export.CSV, export.Gzip, 3
		m := s.export(o)
		s.expect(name, m.files, c.verdict, c.code)
	}
}

// What the operator's key signs besides the manifest.
func TestWhatAnOperatorPutsBesideTheManifest(t *testing.T) {
	s := newSite(t)
	foreign := siteNamed(t, "another")
	m := s.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	other := s.export(order{id: 8, format: export.CSV, compression: export.Gzip, rows: 3})
	strange := foreign.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	damaged := bytes.Replace(m.files[seal.ProofFile], []byte("\n11\n"), []byte("\n12\n"), 1)
	tree := newLog(t, s.log, 9)
	tree.add(m.leaf)
	tree.add(filler(10))
	for name, c := range map[string]struct {
		leaf, proof []byte
		verdict     export.Verdict
		code        string
	}{
		"the entry of another export":        {other.leaf, other.files[seal.ProofFile], export.Tampered, "swapped"},
		"the proof of another entry":         {m.leaf, tree.prove(10), export.Tampered, "not_in_log"},
		"the proof of another export":        {m.leaf, other.files[seal.ProofFile], export.Tampered, "not_in_log"},
		"no proof":                           {m.leaf, nil, export.Tampered, "not_in_log"},
		"no entry":                           {nil, m.files[seal.ProofFile], export.Tampered, "not_in_log"},
		"an entry with a space":              {append(bytes.Clone(m.leaf), ' '), m.files[seal.ProofFile], export.Tampered, "not_in_log"},
		"a proof from another log":           {m.leaf, strange.files[seal.ProofFile], export.KeyUnknown, "log_key"},
		"a proof with a changed checkpoint":  {m.leaf, damaged, export.SignatureInvalid, "log_signature"},
		"deep nesting in the place of both":  {[]byte(strings.Repeat("[", 1<<19)), []byte(strings.Repeat("[", 1<<19)), export.Tampered, "not_in_log"},
		"an index that is beyond all bounds": {m.leaf, bytes.Replace(m.files[seal.ProofFile], []byte("index 9"), []byte("index 18446744073709551615"), 1), export.Tampered, "not_in_log"},
	} {
		files, err := seal.Files(ctx, s.manifest, m.facts, m.envelope, c.leaf, c.proof)
		if err != nil {
			t.Fatal(err)
		}
		s.expect(name, bundle(files).with(m.artefact, m.files[m.artefact]), c.verdict, c.code)
	}
	if _, err := seal.Files(ctx, s.manifest, m.facts, m.envelope, make([]byte, 2<<20), nil); err == nil {
		t.Error("a bundle was written that nobody reads")
	}
	deep := []byte(`{"payloadType":` + strings.Repeat("[", 1<<19))
	s.expect("a manifest of deep nesting", m.files.with(seal.ManifestFile, deep), export.Tampered, "manifest")
}

func TestChain(t *testing.T) {
	s := newSite(t)
	var reports []seal.Report
	prev := ""
	for n := int64(1); n <= 5; n++ {
		m := s.export(order{id: n, format: export.CSV, compression: export.Plain, rows: 1, number: n, prev: prev})
		report, found := seal.Verify(m.files, s.trust)
		if found.Verdict != export.Verified {
			t.Fatal(found)
		}
		reports, prev = append(reports, report), report.ManifestSHA256
	}
	wrong := s.export(order{id: 9, format: export.CSV, compression: export.Plain, rows: 1, number: 3, prev: strings.Repeat("ab", 32)})
	stray, found := seal.Verify(wrong.files, s.trust)
	if found.Verdict != export.Verified {
		t.Fatal(found)
	}
	r := reports
	for name, c := range map[string]struct {
		given   []seal.Report
		links   int
		gaps    []seal.Gap
		verdict export.Verdict
	}{
		"none":             {nil, 0, nil, export.Verified},
		"one":              {r[:1], 0, nil, export.Verified},
		"all":              {r, 4, nil, export.Verified},
		"backwards":        {[]seal.Report{r[2], r[1], r[0]}, 2, nil, export.Verified},
		"one twice":        {[]seal.Report{r[1], r[0], r[1]}, 1, nil, export.Verified},
		"with a gap":       {[]seal.Report{r[0], r[1], r[4]}, 1, []seal.Gap{{From: 3, To: 4}}, export.Verified},
		"a wrong link":     {[]seal.Report{r[1], stray}, 0, nil, export.Tampered},
		"a link to a lost": {[]seal.Report{stray, r[3]}, 0, nil, export.Tampered},
		"two of a number":  {[]seal.Report{r[2], stray}, 0, nil, export.Tampered},
	} {
		links, gaps, found := seal.Chain(c.given)
		if links != c.links || len(gaps) != len(c.gaps) || len(gaps) > 0 && gaps[0] != c.gaps[0] || found.Verdict != c.verdict ||
			(found.Code == "chain") != (c.verdict == export.Tampered) {
			t.Errorf("%s: %d links, gaps %v, %+v", name, links, gaps, found)
		}
	}
}
