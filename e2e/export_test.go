package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"finobs/internal/export"
)

// exportOf asks for an export, has bob approve it, and waits until it is delivered
// and verified. Its desk filter makes it an action of its own.
func (s *stack) exportOf(t *testing.T, path string) exportMeta {
	t.Helper()
	e := s.asksFor(t, path)
	want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	return e.delivered(t)
}

func (s *stack) asksFor(t *testing.T, path string) exportCase {
	t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	e := exportCase{s: s, path: fmt.Sprintf("%s%sdesk=T%d", path, separator, unique.Add(1))}
	e.id = want(t, s.call(t, "alice", "POST", e.path, ""), http.StatusAccepted).str("approval_request_id")
	e.untilStatus(t, "pending")
	return e
}

// exportMeta is an export as the API shows it.
type exportMeta struct {
	ID                 int64  `json:"export_id"`
	ApprovalID         int64  `json:"approval_request_id"`
	Dataset            string `json:"dataset"`
	Format             string `json:"format"`
	Compression        string `json:"compression"`
	Destination        string `json:"destination"`
	Status             string `json:"status"`
	Hash               string `json:"hash"`
	Signature          string `json:"signature"`
	DeliveryStatus     string `json:"delivery_status"`
	DeliveredAt        string `json:"delivered_at"`
	VerificationStatus string `json:"verification_status"`
	VerifiedAt         string `json:"verified_at"`
	Seal               struct {
		Rows         int64  `json:"rows"`
		FileName     string `json:"file_name"`
		Content      string `json:"content_sha256"`
		Reproducible bool   `json:"reproducible"`
		Number       int64  `json:"number"`
		ToLeaf       int64  `json:"to_leaf"`
	} `json:"seal"`
	Deliveries []struct {
		Destination  string         `json:"destination"`
		Attempt      int            `json:"attempt"`
		Status       string         `json:"status"`
		Detail       string         `json:"detail"`
		Verification export.Finding `json:"verification"`
	} `json:"deliveries"`
}

func (s *stack) meta(t *testing.T, exportID string) (m exportMeta) {
	t.Helper()
	if err := json.Unmarshal(want(t, s.call(t, "eve", "GET", "/exports/"+exportID, ""), http.StatusOK).Body, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// exportID waits until an export has begun.
func (e exportCase) exportID(t *testing.T) (id string) {
	t.Helper()
	eventually(t, "the export of approval "+e.id+" has begun", func() bool {
		scan(t, e.s, &id, "SELECT coalesce((SELECT export_id::text FROM finobs.export WHERE approval_id = $1::bigint), '')", e.id)
		return id != ""
	})
	return id
}

// delivered waits until an export has a verdict, and returns what is known of it.
func (e exportCase) delivered(t *testing.T) (m exportMeta) {
	t.Helper()
	id := e.exportID(t)
	eventually(t, "export "+id+" is delivered and verified", func() bool {
		m = e.s.meta(t, id)
		return m.VerificationStatus != "unverified"
	})
	return m
}

func (m exportMeta) id() string { return strconv.FormatInt(m.ID, 10) }

// Every route, format and compression gives an export with hash, signature,
// delivery and verification, whose bundle a stranger can verify; and all of them
// are one chain.
func TestEveryRouteFormatAndCompression(t *testing.T) {
	var cases []exportCase
	var wanted []string
	for route, dataset := range map[string]string{
		"/incidents/export": "incidents", "/transactions/export": "transactions", "/users/export": "users",
		"/compliance/logs/export": "compliance_logs", "/compliance/export": "compliance_logs", "/audit/export": "audit",
	} {
		for _, format := range []string{"csv", "ndjson", "parquet"} {
			for _, compression := range []string{"none", "gzip", "zstd"} {
				cases = append(cases, world.asksFor(t, route+"?format="+format+"&compression="+compression))
				wanted = append(wanted, dataset+" "+format+" "+compression)
			}
		}
	}
	for _, e := range cases {
		want(t, e.decide(t, "bob", "approve"), http.StatusOK)
	}
	var bundles []string
	for i, e := range cases {
		m := e.delivered(t)
		if got := m.Dataset + " " + m.Format + " " + m.Compression; got != wanted[i] {
			t.Errorf("export %d is %s, want %s", m.ID, got, wanted[i])
		}
		if m.Status != "sealed" || len(m.Hash) != 64 || !strings.HasPrefix(m.Signature, "ed25519:") || m.Destination != "archive" ||
			m.DeliveryStatus != "delivered" || m.DeliveredAt == "" || m.VerificationStatus != "verified" || m.VerifiedAt == "" ||
			len(m.Deliveries) != 1 || m.Deliveries[0].Status != "delivered" || m.Deliveries[0].Verification.Verdict != export.Verified {
			t.Errorf("%s: %+v", wanted[i], m)
		}
		if ledger := m.Dataset == "audit" || m.Dataset == "compliance_logs"; m.Seal.Reproducible != ledger {
			t.Errorf("%s: reproducible is %v", wanted[i], m.Seal.Reproducible)
		}
		bundles = append(bundles, world.bundle(t, m.id()))
	}
	if code, said := world.auditBundle(t, bundles...); code != 0 || !strings.Contains(said, "chain") {
		t.Errorf("finaudit: exit code %d\n%s", code, said)
	}
}

func TestPostAndAliasAreOneExport(t *testing.T) {
	e := world.asksFor(t, "/compliance/logs/export?format=csv")
	alias := strings.Replace(e.path, "/compliance/logs/", "/compliance/", 1)
	if got := want(t, world.call(t, "alice", "GET", alias, ""), http.StatusAccepted).str("approval_request_id"); got != e.id {
		t.Errorf("the alias asked for approval %s, the route for %s", got, e.id)
	}
	_, filters, _ := strings.Cut(e.path, "desk=")
	body := `{"dataset":"compliance_logs","format":"csv","filters":{"desk":"` + filters + `"}}`
	if got := want(t, world.call(t, "alice", "POST", "/exports/", body), http.StatusAccepted).str("approval_request_id"); got != e.id {
		t.Errorf("POST /exports/ asked for approval %s, the route for %s", got, e.id)
	}
}

// The log up to an index gives the same bytes whenever it is exported; what is
// exported of a table says that it cannot be made again.
func TestExportsOfTheLogAreMadeAgainByteForByte(t *testing.T) {
	path := "/audit/export?format=ndjson&before=30&compression="
	first := world.exportOf(t, path+"none")
	world.exportOf(t, "/incidents/export?format=csv") // the log grows
	again, packed := world.exportOf(t, path+"none"), world.exportOf(t, path+"zstd")
	// The desk filter that makes them different actions selects nothing of the first
	// entries, so the same is asked for without it.
	whole := func(compression string) exportMeta {
		e := exportCase{s: world, path: "/audit/export?format=ndjson&after=0&before=25&renew=true&compression=" + compression}
		e.id = want(t, world.call(t, "alice", "POST", e.path, ""), http.StatusAccepted).str("approval_request_id")
		want(t, e.decide(t, "bob", "approve"), http.StatusOK)
		return e.delivered(t)
	}
	one := whole("none")
	two, three := whole("none"), whole("gzip")
	if one.Seal.Rows != 25 || one.ID == two.ID || one.Hash != two.Hash || one.Hash != three.Hash {
		t.Errorf("%d rows; exports %d, %d and %d have hashes %s, %s, %s", one.Seal.Rows, one.ID, two.ID, three.ID, one.Hash, two.Hash, three.Hash)
	}
	if first.Hash != again.Hash || first.Hash != packed.Hash {
		t.Error("exports of no row differ")
	}
}

func TestExportsAreNotChangedByHand(t *testing.T) {
	m := world.exportOf(t, "/users/export?format=csv")
	refusedAs(t, world.call(t, "dave", "PATCH", "/exports/"+m.id(), `{"verification_status":"verified"}`), 403, "export-not-changeable", "workflows")
	r := world.call(t, "dave", "DELETE", "/exports/"+m.id(), "")
	refusedAs(t, r, 405, "export-not-deletable", "part of the record")
	if r.Header.Get("Allow") == "" {
		t.Error("405 without Allow")
	}
	for _, statement := range []string{
		"UPDATE finobs.export SET content_sha256 = sha256('x') WHERE export_id = $1::bigint", "UPDATE finobs.export SET manifest = 'x' WHERE export_id = $1::bigint",
		"UPDATE finobs.export SET bundled_at = now() WHERE export_id = $1::bigint", "UPDATE finobs.export_delivery SET status = 'unknown' WHERE export_id = $1::bigint",
	} {
		if err := exec1(world, statement, m.id()); err == nil {
			t.Errorf("the database's owner could do: %s", statement)
		}
	}
}

func TestExportsThatAreRefused(t *testing.T) {
	for path, says := range map[string]string{
		"/incidents/export?format=xlsx":                             "csv",
		"/incidents/export?compression=rar":                         "gzip",
		"/incidents/export?destination=nowhere":                     "archive",
		"/incidents/export?destination=/etc/passwd":                 "no destination",
		"/incidents/export?colour=red":                              "colour",
		"/transactions/export?from=30.2.2026":                       "date",
		"/audit/export?after=-1":                                    "pattern",
		"/compliance/logs/export?from=yesterday":                    "date-time",
		"/incidents/export?destination=https://evil.example&desk=x": "destination",
		"/users/export?role=root":                                   "role",
		"/incidents/export?format=csv&format=ndjson":                "twice",
		"/incidents/export?desk=" + strings.Repeat("x", 33):         "32",
	} {
		if r := world.call(t, "alice", "POST", path, ""); r.Status != 422 {
			t.Errorf("%s: answered %d: %.200s (want %s)", path, r.Status, r.Body, says)
		}
	}
}

// What lies at the destination is read back: each kind of damage has its verdict,
// and only what was damaged has it.
func TestVerificationReadsTheDestination(t *testing.T) {
	damage := map[string]func(dir string, m exportMeta) error{
		"verified/": func(string, exportMeta) error { return nil },
		"tampered/content": func(dir string, m exportMeta) error {
			return change(filepath.Join(dir, m.Seal.FileName), func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"tampered/truncated": func(dir string, m exportMeta) error {
			return change(filepath.Join(dir, m.Seal.FileName), func(b []byte) []byte { return b[:strings.Index(string(b), "\n")+1] })
		},
		"missing/": func(dir string, m exportMeta) error { return os.Remove(filepath.Join(dir, m.Seal.FileName)) },
		"signature_invalid/": func(dir string, _ exportMeta) error {
			return change(filepath.Join(dir, "manifest.dsse.json"), func(b []byte) []byte {
				at := strings.Index(string(b), `"sig":"`) + 12
				if b[at]++; b[at] > 'y' {
					b[at] = 'a'
				}
				return b
			})
		},
	}
	byID := map[string]string{}
	var ids []string
	for wanted, harm := range damage {
		e := exportCase{s: world, path: "/audit/export?format=ndjson&renew=true&after=0&before=" + strconv.Itoa(20+len(ids))}
		e.id = want(t, world.call(t, "alice", "POST", e.path, ""), http.StatusAccepted).str("approval_request_id")
		want(t, e.decide(t, "bob", "approve"), http.StatusOK)
		m := e.delivered(t)
		dirs, err := filepath.Glob(world.Path("archive", "exports", "*", m.id()))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("export %d lies in %v, %v", m.ID, dirs, err)
		}
		if err := harm(dirs[0], m); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.id())
		byID[m.id()] = wanted
	}
	started := world.call(t, "eve", "POST", "/exports/batch_verify", `{"ids":[`+strings.Join(ids, ",")+`]}`)
	var result struct {
		ID       string         `json:"verification_id"`
		Status   string         `json:"status"`
		Counts   map[string]int `json:"counts"`
		Total    int            `json:"total"`
		Verdicts []struct {
			ExportID int64  `json:"export_id"`
			Verdict  string `json:"verdict"`
			Places   []struct {
				Destination string `json:"destination"`
				export.Finding
			} `json:"places"`
		} `json:"verdicts"`
	}
	eventually(t, "the verification is done", func() bool {
		if err := json.Unmarshal(started.Body, &result); err != nil {
			t.Fatalf("%v: %d %s", err, started.Status, started.Body)
		}
		if result.Status != "done" {
			started = world.call(t, "eve", "GET", "/exports/batch_verify/"+result.ID, "")
		}
		return result.Status == "done"
	})
	if result.Total != len(ids) || len(result.Verdicts) != len(ids) || result.Counts["verified"] != 1 {
		t.Errorf("got %+v", result)
	}
	for _, v := range result.Verdicts {
		id := strconv.FormatInt(v.ExportID, 10)
		verdict, code, _ := strings.Cut(byID[id], "/")
		if v.Verdict != verdict || len(v.Places) != 2 || v.Places[0].Destination != "archive" || code != "" && v.Places[0].Code != code ||
			v.Places[1].Destination != "download" || v.Places[1].Verdict != export.Verified {
			t.Errorf("export %s, want %s: %+v", id, byID[id], v)
		}
		if m := world.meta(t, id); m.VerificationStatus != verdict || m.DeliveryStatus != "delivered" {
			t.Errorf("export %s: %s, %s", id, m.VerificationStatus, m.DeliveryStatus)
		}
	}
	refusedAs(t, world.call(t, "eve", "POST", "/exports/987654321/verify", ""), 404, "no-such-export", "987654321")
	if world.call(t, "eve", "GET", "/exports/?verification_status=tampered", "").Status != 200 {
		t.Error("the list does not filter by verdict")
	}
}

func change(path string, how func([]byte) []byte) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path, how(text), 0o600)
}
