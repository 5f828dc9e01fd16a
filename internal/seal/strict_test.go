package seal_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/export"
	"finobs/internal/keys"
	"finobs/internal/seal"

	"github.com/hiddeco/sshsig"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/crypto/ssh"
)

// ours signs like the operator, whatever it is given.
type ours struct{ keys.Signer }

func (o ours) KeyID() (string, error) { return keys.ID(o.Public()), nil }

func (o ours) Sign(_ context.Context, message []byte) ([]byte, error) {
	return o.Signer.Sign(ctx, message)
}

// enveloped is a manifest of any payload, signed by the operator n times.
func (s *site) enveloped(payloadType string, payload []byte, n int) []byte {
	s.t.Helper()
	signer, err := dsse.NewEnvelopeSigner(slices.Repeat([]dsse.Signer{ours{s.manifest}}, n)...)
	if err != nil {
		s.t.Fatal(err)
	}
	envelope, err := signer.SignPayload(ctx, payloadType, payload)
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := json.Marshal(envelope)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

func payloadOf(t *testing.T, envelope []byte) []byte {
	t.Helper()
	var e dsse.Envelope
	if err := json.Unmarshal(envelope, &e); err != nil {
		t.Fatal(err)
	}
	payload, err := e.DecodeB64Payload()
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// A manifest has one spelling, also when our own key signs another.
func TestManifestsAreReadStrictly(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	payload := payloadOf(t, m.envelope)
	for name, envelope := range map[string][]byte{
		"another type of payload": s.enveloped("text/plain", payload, 1),
		"too many signatures":     s.enveloped(seal.PayloadType, payload, 17),
		"a space":                 s.enveloped(seal.PayloadType, append(slices.Clone(payload), ' '), 1),
		"another member":          s.enveloped(seal.PayloadType, bytes.Replace(payload, []byte(`{"_type"`), []byte(`{"A":"","_type"`), 1), 1),
		"a member twice":          s.enveloped(seal.PayloadType, bytes.Replace(payload, []byte(`"rows":"3"`), []byte(`"rows":"3","rows":"3"`), 1), 1),
		"a number":                s.enveloped(seal.PayloadType, bytes.Replace(payload, []byte(`"rows":"3"`), []byte(`"rows":3`), 1), 1),
		"another predicate":       s.enveloped(seal.PayloadType, bytes.Replace(payload, []byte(seal.PredicateType), []byte("urn:x"), 1), 1),
		"another format":          s.enveloped(seal.PayloadType, bytes.Replace(payload, []byte(`"format":"csv"`), []byte(`"format":"xml"`), 1), 1),
		"no guard":                s.enveloped(seal.PayloadType, bytes.Replace(payload, []byte(`"formula_guard":"apostrophe/v1",`), nil, 1), 1),
		"nothing":                 s.enveloped(seal.PayloadType, nil, 1),
		"a list":                  []byte("[]"),
		"an unknown member":       bytes.Replace(m.envelope, []byte(`{`), []byte(`{"x":1,`), 1),
	} {
		s.expect(name, s.resummed(m, seal.ManifestFile, envelope), export.Tampered, "manifest")
	}
	policy := bytes.Replace(payload, []byte(`"policy_digest":"sha256:`), []byte(`"policy_digest":"sha512:`), 1)
	s.expect("another policy", s.resummed(m, seal.ManifestFile, s.enveloped(seal.PayloadType, policy, 1)), export.Tampered, "not_approved")
	// The last digit before the padding has four bits that say nothing.
	s.expect("loose bits in a signature", m.files.with(seal.ManifestFile, loosened(m.envelope)), export.SignatureInvalid, "manifest_signature")
}

// loosened changes bits of the signature that a lenient reader does not see.
func loosened(envelope []byte) []byte {
	at := bytes.Index(envelope, []byte(`=="}]`)) - 1
	out := slices.Clone(envelope)
	out[at]++ // A, Q, g and w are the digits with four zeros at their end
	return out
}

// resummed is a bundle with another file, whose digests our key has signed again.
func (s *site) resummed(m made, name string, content []byte) bundle {
	s.t.Helper()
	out := m.files.with(name, content)
	var lines []string
	for line := range strings.Lines(string(m.files[seal.SumsFile])) {
		if strings.HasSuffix(line, "  "+name+"\n") {
			line = hexSum(content) + "  " + name + "\n"
		}
		lines = append(lines, line)
	}
	return s.signed(out, lines...)
}

func hexSum(content []byte) string { return seal.ManifestSHA256(content) }

// signed is a bundle with the given lines of digests, signed by our key.
func (s *site) signed(b bundle, lines ...string) bundle {
	s.t.Helper()
	seed := sha256.Sum256([]byte("ours/manifest"))
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed[:]))
	if err != nil {
		s.t.Fatal(err)
	}
	text := strings.Join(lines, "")
	signature, err := sshsig.Sign(strings.NewReader(text), signer, sshsig.HashSHA512, seal.Namespace)
	if err != nil {
		s.t.Fatal(err)
	}
	return b.with(seal.SumsFile, []byte(text)).with(seal.SumsSigFile, sshsig.Armor(signature))
}

func TestDigestsAreReadStrictly(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	lines := slices.Collect(strings.Lines(string(m.files[seal.SumsFile])))
	s.expect("as they are", s.signed(m.files, lines...), export.Verified, "")
	backwards := slices.Clone(lines)
	slices.Reverse(backwards)
	for name, other := range map[string][]string{
		"in another order": backwards,
		"a line twice":     slices.Insert(slices.Clone(lines), 0, lines[0]),
		"one line more":    append(slices.Clone(lines), strings.Repeat("0", 64)+"  zzz\n"),
		"one line less":    lines[1:],
		"no text":          nil,
		"no line end":      {strings.TrimSuffix(strings.Join(lines, ""), "\n")},
		"a path":           append(slices.Clone(lines), strings.Repeat("0", 64)+"  ../x\n"),
		"binary mode":      {strings.Replace(strings.Join(lines, ""), "  ", " *", 1)},
	} {
		s.expect(name, s.signed(m.files, other...), export.Tampered, "sums")
	}
}

// What one part says of the approval is what the other says.
func TestApprovalsAgree(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	beside := func(r approval.Receipt) bundle {
		facts := m.facts
		facts.Approval = r
		files, err := seal.Files(ctx, s.manifest, facts, m.envelope, m.leaf, m.files[seal.ProofFile])
		if err != nil {
			t.Fatal(err)
		}
		return bundle(files).with(m.artefact, m.files[m.artefact])
	}
	was := m.facts.Approval
	s.expect("the same", beside(was), export.Verified, "")
	both := append(slices.Clone(was.Decisions), s.vote(was.Request, human("dora"), "d2"))
	s.expect("a decision more", beside(approval.ReceiptOf(was.Request, both, signed, attest.KeyID)), export.Tampered, "not_approved")
	other := was
	other.Request.Action = bytes.Replace(was.Request.Action, []byte(`"risk_tier":"medium"`), []byte(`"risk_tier":"low"`), 1)
	s.expect("another action", beside(other), export.Tampered, "not_approved")
	s.trust.Decision = nil
	s.expect("the same, without a key", beside(was), export.Verified, "")
	s.expect("another action, without a key", beside(other), export.Tampered, "not_approved")
}

// The entry says itself whether it is of a simulation.
func TestTheEntryAgreesOnSimulation(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	leaf := bytes.Replace(m.leaf, []byte(`"is_simulation":false`), []byte(`"is_simulation":true`), 1)
	tree := newLog(t, s.log, 9)
	tree.add(leaf)
	files, err := seal.Files(ctx, s.manifest, m.facts, m.envelope, leaf, tree.prove(9))
	if err != nil {
		t.Fatal(err)
	}
	s.expect("an entry of a simulation", bundle(files).with(m.artefact, m.files[m.artefact]), export.Tampered, "not_in_log")
}

// The columns in the file are those of the manifest, also when the digests agree.
func TestTheFileHasTheColumnsOfItsManifest(t *testing.T) {
	s := newSite(t)
	for _, f := range formats {
		users := export.Spec{Dataset: export.Users, Format: f, Compression: export.Plain}
		content, totals := write(t, users, [][]export.Cell{cells(export.Users, 7, 0)})
		m := s.export(order{id: 7, format: f, compression: export.Plain, rows: 1, change: func(facts *seal.Facts) {
			x := facts.Export.Seal
			x.FileBytes, x.FileSHA256, x.ContentBytes, x.ContentSHA256 = totals.FileBytes, totals.FileSHA256, totals.ContentBytes, totals.ContentSHA256
			x.FileName = strings.Replace(export.FileName(7, users, totals.FileSHA256), "users", "incidents", 1)
		}})
		s.expect(string(f), m.files.with(m.artefact, content), export.Tampered, "columns")
	}
}

// repeating lists a file twice.
type repeating struct{ bundle }

func (r repeating) Names() ([]string, error) {
	names, err := r.bundle.Names()
	return append(names, seal.ReadmeFile), err
}

func TestAFileThatIsListedTwice(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Gzip, rows: 3})
	s.expect("twice", repeating{m.files}, export.Tampered, "unsafe")
}

// A sparse member unpacks to other bytes than those that follow its header.
func TestSparseMembersAreNotRead(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.CSV, compression: export.Plain, rows: 3})
	text := m.files[seal.ReadmeFile]
	size := strconv.Itoa(len(text))
	sparse := append([]byte("1\n0\n"+size+"\n"), make([]byte, 512-len("1\n0\n"+size+"\n"))...)
	content := packed(t, append(m.files.without(seal.ReadmeFile).members(""), member{
		tar.Header{Name: seal.ReadmeFile, Format: tar.FormatPAX, PAXRecords: map[string]string{
			"ABC.sparse.major": "1", "ABC.sparse.minor": "0", "ABC.sparse.realsize": size, "ABC.sparse.name": seal.ReadmeFile,
		}}, append(sparse, text...),
	})...)
	content = bytes.ReplaceAll(content, []byte("ABC.sparse"), []byte("GNU.sparse"))
	archive, err := seal.TarOf(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	s.expect("a sparse member", archive, export.Tampered, "unsafe")
}

// Footers of Parquet that ask for much are not given it.
func TestHostileFooters(t *testing.T) {
	s := newSite(t)
	m := s.export(order{id: 7, format: export.Parquet, compression: export.Plain, rows: 3})
	footed := func(footer []byte) []byte {
		content := append(flipped(m.files[m.artefact], 9), footer...)
		return append(binary.LittleEndian.AppendUint32(content, uint32(len(footer))), "PAR1"...)
	}
	oneRow := []byte{0x36, 2, 0} // field 3, a number: 1
	for name, c := range map[string]struct {
		footer []byte
		code   string
	}{
		"one row":           {oneRow, "truncated"},
		"one row, and much": {append(slices.Clone(oneRow), make([]byte, 17<<20)...), "content"},
		"deep structures":   {bytes.Repeat([]byte{0x1c}, 15<<20), "content"},
		"deep lists":        {append([]byte{0x19}, bytes.Repeat([]byte{0x19}, 15<<20)...), "content"},
		"a long list":       {[]byte{0x19, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x7f}, "content"},
		"a long text":       {[]byte{0x18, 0xff, 0xff, 0xff, 0xff, 0x7f}, "content"},
		"rows below zero":   {[]byte{0x36, 1, 0}, "content"},
		"a map":             {[]byte{0x1b, 1}, "content"},
		"nothing":           {nil, "content"},
		"all kinds of field": { // within a structure: true, a byte, a double, a list, a structure by its long number
			[]byte{0x11, 0x1c, 0x11, 0x13, 1, 0x17, 1, 2, 3, 4, 5, 6, 7, 8, 0x19, 0x21, 1, 1, 0x0c, 2, 0, 0, 0x16, 2, 0}, "truncated",
		},
	} {
		s.expect(name, m.files.with(m.artefact, footed(c.footer)), export.Tampered, c.code)
	}
	// A file that begins with the sealed one was appended to; these begin otherwise.
	s.expect("appended", m.files.with(m.artefact, append(slices.Clone(m.files[m.artefact]), 0)), export.Tampered, "appended")
}
