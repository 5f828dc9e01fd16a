package seal_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"finobs/internal/export"
	"finobs/internal/raceflag"
	"finobs/internal/seal"
)

// pair is a bundle to change and another good one, of the same kind, to take from.
type pair struct {
	a, b     made
	names    []string // of a's files
	plain    []byte   // a's content, uncompressed; nil for Parquet
	forgedBy map[string]bundle
}

// attacker changes bundles at random. Each of its ways changes the bytes of a
// bundle, and none makes another good bundle.
type attacker struct {
	*site
	*rand.Rand
	pairs []pair
}

func newAttacker(t testing.TB, seed uint64) *attacker {
	k := &attacker{site: newSite(t), Rand: rand.New(rand.NewPCG(seed, seed))}
	stranger := fixedKey(t, "stranger")
	for _, f := range formats {
		for _, c := range compressions {
			p := pair{
				a: k.export(order{id: 7, format: f, compression: c, rows: 5}), b: k.export(order{id: 8, format: f, compression: c, rows: 5, number: 2, prev: export.FirstPrev[1:] + "1"}),
				forgedBy: map[string]bundle{},
			}
			p.names = slices.Sorted(maps.Keys(p.a.files))
			if f != export.Parquet {
				spec := p.a.spec
				spec.Compression = export.Plain
				p.plain, _ = write(t, spec, p.a.rows)
			}
			envelope, err := seal.Sign(ctx, stranger, p.a.facts)
			if err != nil {
				t.Fatal(err)
			}
			p.forgedBy["stranger"], err = seal.Files(ctx, stranger, p.a.facts, envelope, p.a.leaf, p.a.files[seal.ProofFile])
			if err != nil {
				t.Fatal(err)
			}
			k.pairs = append(k.pairs, p)
		}
	}
	return k
}

func (k *attacker) bytes(content []byte) []byte {
	out := slices.Clone(content)
	at := 0
	if len(out) > 0 {
		at = k.IntN(len(out))
	}
	switch way := k.IntN(5); {
	case way == 0 || len(out) == 0:
		return append(out, byte(k.IntN(256)))
	case way == 1:
		return out[:at]
	case way == 2:
		return slices.Insert(out, at, byte(k.IntN(256)))
	case way == 3:
		return slices.Delete(out, at, at+1)
	default:
		out[at] ^= 1 << k.IntN(8)
		return out
	}
}

// rows changes the rows and writes them again, in the same format.
func (k *attacker) rows(p pair) []byte {
	rows := slices.Clone(p.a.rows)
	i := k.IntN(len(rows))
	switch k.IntN(4) {
	case 0:
		rows = rows[:i]
	case 1:
		rows = append(rows, rows[i])
	case 2:
		j := (i + 1 + k.IntN(len(rows)-1)) % len(rows)
		rows[i], rows[j] = rows[j], rows[i]
	default:
		rows = slices.Delete(rows, i, i+1)
	}
	content, _ := write(k.t, p.a.spec, rows)
	return content
}

// mixed takes some files of the other bundle, but not all.
func (k *attacker) mixed(p pair) bundle {
	out := maps.Clone(p.a.files)
	taken := 0
	for _, name := range p.names {
		if k.IntN(2) == 0 || name == p.a.artefact {
			continue
		}
		out[name] = p.b.files[name]
		taken++
	}
	switch k.IntN(3) {
	case 0:
		out[p.a.artefact] = p.b.files[p.b.artefact]
	case 1:
		if taken == len(p.names)-1 { // then this is the other bundle
			break
		}
		delete(out, p.a.artefact)
		out[p.b.artefact] = p.b.files[p.b.artefact]
	}
	return out
}

// operator changes what the operator's key signs: the tokens, or the log.
func (k *attacker) operator(p pair) bundle {
	facts, leaf, proof := p.a.facts, p.a.leaf, p.a.files[seal.ProofFile]
	switch k.IntN(4) {
	case 0:
		facts.Approval.Decisions = slices.Clone(facts.Approval.Decisions)
		token := []byte(facts.Approval.Decisions[0].Token)
		token[k.IntN(len(token))] ^= 1 << k.IntN(7)
		facts.Approval.Decisions[0].Token = string(token)
	case 1:
		leaf = p.b.leaf
	case 2:
		proof = p.b.files[seal.ProofFile]
	default:
		proof = k.bytes(proof)
	}
	files, err := seal.Files(ctx, k.manifest, facts, p.a.envelope, leaf, proof)
	if err != nil {
		k.t.Fatal(err)
	}
	files[p.a.artefact] = p.a.files[p.a.artefact]
	return files
}

// attack returns a changed bundle and what was done.
func (k *attacker) attack() (string, pair, bundle) {
	p := k.pairs[k.IntN(len(k.pairs))]
	name := p.names[k.IntN(len(p.names))]
	switch k.IntN(10) {
	case 0:
		return "left out " + name, p, p.a.files.without(name)
	case 1:
		return "added a file", p, p.a.files.with(fmt.Sprintf("x%d", k.IntN(100)), []byte("x"))
	case 2:
		return "other rows", p, p.a.files.with(p.a.artefact, k.rows(p))
	case 3:
		if p.plain == nil || p.a.spec.Compression == export.Plain {
			return "bytes of the artefact", p, p.a.files.with(p.a.artefact, k.bytes(p.a.files[p.a.artefact]))
		}
		return "compressed again", p, p.a.files.with(p.a.artefact, recompress(k.t, p.plain, p.a.spec.Compression))
	case 4:
		return "files of another bundle", p, k.mixed(p)
	case 5:
		forged := maps.Clone(p.forgedBy["stranger"])
		forged[p.a.artefact] = p.a.files[p.a.artefact]
		if k.IntN(2) == 0 { // the envelope or the digests alone
			keep := []string{seal.SumsFile, seal.SumsSigFile}
			if k.IntN(2) == 0 {
				keep = []string{seal.ManifestFile}
			}
			for _, kept := range keep {
				forged[kept] = p.a.files[kept]
			}
		}
		return "signed by a stranger", p, forged
	case 6:
		return "signed by the operator", p, k.operator(p)
	default:
		return "bytes of " + name, p, p.a.files.with(name, k.bytes(p.a.files[name]))
	}
}

// None of ten thousand changed bundles is taken for a good one.
func TestNoChangeIsAccepted(t *testing.T) {
	tries := raceflag.Of(10_000, 3_000)
	if testing.Short() {
		tries = 1_000
	}
	k := newAttacker(t, 20260302)
	for _, p := range k.pairs {
		for _, good := range []made{p.a, p.b} {
			if _, found := seal.Verify(good.files, k.trust); found.Verdict != export.Verified {
				t.Fatalf("before any change: %+v", found)
			}
		}
	}
	verdicts := map[string]int{}
	changed := 0
	for range tries {
		what, p, b := k.attack()
		if maps.EqualFunc(b, p.a.files, bytes.Equal) {
			continue
		}
		changed++
		report, found := seal.Verify(b, k.trust)
		verdicts[string(found.Verdict)+" "+found.Code]++
		if found.Verdict == export.Verified || found.Verdict == export.Unreachable || found.Code == "" {
			t.Fatalf("%s %s, %s: %+v, %+v", p.a.spec.Format, p.a.spec.Compression, what, found, report.Held)
		}
	}
	if changed < tries*9/10 || len(verdicts) < 20 {
		t.Errorf("only %d changes of %d kinds were tried: %v", changed, len(verdicts), verdicts)
	}
	t.Logf("%d changes: %v", changed, verdicts)
}
