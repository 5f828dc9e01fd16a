package e2e_test

import (
	"maps"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"finobs/internal/devstack"
	"finobs/workflows"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.temporal.io/sdk/client"
)

// deaths are the places from an export's approval to its verdict at which a
// process may die.
var deaths = []string{
	"export.after-consume", "export.mid-write", "export.after-publish", "export.after-seal", "export.after-confirm", "export.mid-bundle",
	"export.after-bundle", "delivery.after-begin", "delivery.after-send", "delivery.after-record", "export.after-verify",
}

// A worker dies at each of the places, each time with another export to a bucket
// that gets there for the first time; those before it, which are taken up again
// meanwhile, may die there once more. In the end each is made, sealed and
// delivered once, and the record says which attempts nobody knows the end of.
func testWorkerDiesBetweenApprovalAndVerdict(t *testing.T) {
	d := deliveries(t)
	var asked []exportCase
	for range deaths {
		asked = append(asked, d.to(t, "bucket", "/audit/export?format=csv"))
	}
	for i, place := range deaths {
		// One that is stopped in order gives its workflows back at once.
		if err := d.worker.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := d.startWorker(place); err != nil {
			t.Fatal(err)
		}
		asked[i].approve(t)
		died(t, d.worker)
	}
	d.restartWorker(t, "")
	unknown := 0
	for i, e := range asked {
		m := e.delivered(t)
		n, ok := d.honest(t, m.id())
		unknown += n
		if !ok || m.DeliveryStatus != "delivered" || m.VerificationStatus != "verified" {
			t.Errorf("%s: %+v", deaths[i], d.rows(t, m.id()))
		}
		e.madeOnce(t, m.id())
		d.onceInBucket(t, m.id())
	}
	if unknown < 2 { // of the two places between the beginning and the end of an attempt
		t.Errorf("%d attempts are unknown, and at least 2 processes died in the middle of one", unknown)
	}
	d.tidy(t)
	if left := d.uploads(t); len(left) != 0 {
		t.Errorf("uploads were left open: %v", left)
	}
}

// honest reports whether an export's attempts are any number that died unknown
// and then one that delivered, and counts the former.
func (d *deliveryStack) honest(t *testing.T, id string) (unknown int, ok bool) {
	t.Helper()
	rows := d.rows(t, id)
	for i, r := range rows {
		last := i == len(rows)-1
		if r.Attempt != i+1 || last != (r.Status == "delivered") || !last && (r.Status != "unknown" || !strings.Contains(r.Detail, "died")) {
			return unknown, false
		}
		if !last {
			unknown++
		}
	}
	return unknown, len(rows) > 0
}

// madeOnce proves, by everything that is on record, that an approval led to one
// export.
func (e exportCase) madeOnce(t *testing.T, id string) {
	t.Helper()
	for query, args := range map[string][]any{
		"SELECT count(*) FROM finobs.export WHERE approval_id = $1::bigint AND status = 'sealed'":             {e.id},
		"SELECT count(*) FROM ledger.entry WHERE type = 'effect.intended' AND subject_id = $1":                {id},
		"SELECT count(*) FROM ledger.entry WHERE type = 'effect.done' AND subject_id = $1":                    {id},
		"SELECT count(*) FROM ledger.entry WHERE type = 'export.delivered' AND subject_id = $1":               {id},
		"SELECT count(*) FROM ledger.entry WHERE type = 'export.verification' AND subject_id = $1":            {id},
		"SELECT count(*) FROM finobs.approval_request WHERE approval_id = $1::bigint AND status = 'consumed'": {e.id},
		"SELECT count(*) FROM finobs.export_delivery WHERE export_id = $1::bigint AND status = 'delivered'":   {id},
		"SELECT 1 + count(*) FROM ledger.entry WHERE type = 'activity.contradicted' AND subject_id = $1":      {e.id},
	} {
		if n := count(t, e.s, query, args...); n != 1 {
			t.Errorf("export %s: %s gives %d, want 1", id, query, n)
		}
	}
	files, err := filepath.Glob(e.s.Path("artefacts", "export-"+id, "*-"+id+"-*"))
	if err != nil || len(files) != 1 {
		t.Errorf("export %s has files %v, %v", id, files, err)
	}
}

// onceInBucket wants each file of an export's last delivery in the bucket once,
// nothing else, and a bundle that finaudit accepts.
func (d *deliveryStack) onceInBucket(t *testing.T, id string) {
	t.Helper()
	rows := d.rows(t, id)
	receipt := rows[len(rows)-1].receipt(t)
	wanted := map[string]int{}
	for _, o := range receipt.Objects {
		wanted[o.Name] = 1
	}
	if got := d.versions(t, id); len(wanted) < 8 || !maps.Equal(got, wanted) {
		t.Errorf("export %s: the bucket has %v, the receipt %v", id, got, wanted)
	}
	d.accepted(t, d.fromBucket(t, receipt))
}

// A worker dies while a large file goes to the bucket in parts, and the next one
// while it is read back. Neither leaves anything behind.
func testWorkerDiesInTheMiddleOfATransfer(t *testing.T) {
	d := deliveries(t)
	d.fill(t, 40_000)
	kill := func(hung <-chan bool) {
		t.Helper()
		reached(t, hung)
		if err := d.worker.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	hung := d.gate.hang(func(r *http.Request) bool {
		return r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == "2"
	})
	e := d.asksForAll(t, "/transactions/export?format=csv&source=bench&destination=bucket")
	e.approve(t)
	kill(hung)
	if len(d.uploads(t)) != 1 {
		t.Errorf("uploads are open: %v, so this shows nothing", d.uploads(t))
	}
	hung = d.gate.hang(func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "transactions-")
	})
	if err := d.startWorker(""); err != nil {
		t.Fatal(err)
	}
	kill(hung)
	if found, err := filepath.Glob(d.Path("artefacts", ".*")); err != nil || len(found) == 0 {
		t.Errorf("nothing was being read back: %v, %v", found, err)
	}
	d.gate.misbehave(nil)
	if err := d.startWorker(""); err != nil {
		t.Fatal(err)
	}
	m := e.delivered(t)
	if n, ok := d.honest(t, m.id()); !ok || n != 1 || m.VerificationStatus != "verified" || m.Seal.Rows != 40_000 {
		t.Errorf("%+v, %+v", m, d.rows(t, m.id()))
	}
	e.madeOnce(t, m.id())
	d.onceInBucket(t, m.id())
	if left := d.uploads(t); len(left) != 0 {
		t.Errorf("uploads were left open: %v", left)
	}
	d.tidy(t)
}

// asksForAll asks for an export without a filter of its own.
func (s *stack) asksForAll(t *testing.T, path string) exportCase {
	t.Helper()
	e := exportCase{s: s, path: path}
	e.id = want(t, s.call(t, "alice", "POST", path, ""), http.StatusAccepted).str("approval_request_id")
	e.untilStatus(t, "pending")
	return e
}

// ofExport matches the requests that carry a dataset's artefact.
func ofExport(r *http.Request, dataset string) bool {
	return strings.Contains(r.URL.Path, "/"+dataset+"-")
}

// The bucket's server fails in each of its ways, for another export each. What
// passes by itself is tried again until it works, and the record says what it was.
func testBucketFails(t *testing.T) {
	d := deliveries(t)
	var mu sync.Mutex
	healed := map[string]bool{}
	var foreign string
	d.gate.misbehave(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.Method != http.MethodPut {
			return false
		}
		switch {
		case ofExport(r, "incidents") && !healed["incidents"]:
			return s3Says(w, r, http.StatusInternalServerError, "InternalError")
		case ofExport(r, "users") && !healed["users"]:
			return s3Says(w, r, http.StatusServiceUnavailable, "SlowDown")
		case ofExport(r, "transactions") && !healed["transactions"]:
			mu.Unlock()
			defer mu.Lock()
			return s3Hangs(w, r)
		case ofExport(r, "audit") && !healed["audit"]:
			healed["audit"] = true // it arrives, and then the answer is that it was there
			d.gate.through.ServeHTTP(&nowhere{header: http.Header{}}, r)
			return s3Says(w, r, http.StatusPreconditionFailed, "PreconditionFailed")
		case ofExport(r, "compliance_logs") && foreign == "":
			foreign = strings.TrimPrefix(r.URL.Path, "/"+s3Bucket+"/")
			_, err := d.s3.PutObject(r.Context(), &s3.PutObjectInput{Bucket: aws.String(s3Bucket), Key: &foreign, Body: strings.NewReader("foreign")})
			if err != nil {
				t.Error(err)
			}
		}
		return false
	})
	asked := map[string]exportCase{}
	for dataset, path := range map[string]string{
		"incidents": "/incidents", "users": "/users", "transactions": "/transactions", "audit": "/audit", "compliance_logs": "/compliance/logs",
	} {
		asked[dataset] = d.approved(t, "bucket", path+"/export?format=csv")
	}
	for dataset, says := range map[string]string{"incidents": "500 InternalError: As told.", "users": "503 SlowDown", "transactions": "no answer in time"} {
		id := asked[dataset].exportID(t)
		eventually(t, "an attempt at "+dataset+" has failed", func() bool { return strings.Contains(d.statuses(t, id), "failed") })
		m := d.meta(t, id)
		if m.DeliveryStatus != "failed" || !strings.Contains(m.Deliveries[0].Detail, says) || m.VerificationStatus != "unverified" {
			t.Errorf("%s: %+v", dataset, m)
		}
		want(t, d.call(t, "alice", "GET", asked[dataset].path, ""), http.StatusOK)
		d.accepted(t, d.bundle(t, id))
	}
	mu.Lock()
	for dataset := range asked {
		healed[dataset] = true
	}
	mu.Unlock()
	placed := func() string {
		mu.Lock()
		defer mu.Unlock()
		return foreign
	}
	for dataset, e := range asked {
		m := e.delivered(t)
		rows := d.rows(t, m.id())
		last := rows[len(rows)-1]
		if dataset == "compliance_logs" {
			// Somebody has to look: nothing is overwritten, nothing tried again.
			if len(rows) != 1 || m.DeliveryStatus != "failed" || !strings.Contains(last.Detail, "other content") || !strings.Contains(last.Detail, placed()) {
				t.Errorf("%s: %+v", dataset, rows)
			}
			continue
		}
		if m.DeliveryStatus != "delivered" || m.VerificationStatus != "verified" || last.Status != "delivered" || dataset == "audit" && len(rows) != 1 {
			t.Errorf("%s: %+v", dataset, rows)
		}
		if got := d.statuses(t, m.id()); strings.Contains(got, "unknown") || strings.Count(got, "delivered") != 1 {
			t.Errorf("%s: the rows are: %s", dataset, got)
		}
		d.onceInBucket(t, m.id())
	}
	d.movedAway(t, asked["compliance_logs"].exportID(t), placed())
}

// movedAway removes what was in the way of an export, which then gets its place.
func (d *deliveryStack) movedAway(t *testing.T, id, foreign string) {
	t.Helper()
	for _, version := range d.versionIDs(t, foreign) {
		d.drop(t, foreign, version)
	}
	if r := want(t, d.again(t, id, "moved away"), http.StatusOK); r.str("delivery_status") != "delivered" || r.str("verdict") != "verified" {
		t.Errorf("answered %s", r.Body)
	}
	d.onceInBucket(t, id)
}

// nowhere takes an answer that nobody gets.
type nowhere struct{ header http.Header }

// Header implements http.ResponseWriter.
func (n *nowhere) Header() http.Header { return n.header }

// Write implements http.ResponseWriter.
func (n *nowhere) Write(b []byte) (int, error) { return len(b), nil }

// WriteHeader implements http.ResponseWriter.
func (n *nowhere) WriteHeader(int) {}

// versionIDs lists the versions of an object.
func (d *deliveryStack) versionIDs(t *testing.T, key string) (ids []string) {
	t.Helper()
	out, err := d.s3.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(s3Bucket), Prefix: &key})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out.Versions {
		ids = append(ids, *o.VersionId)
	}
	return ids
}

// drop deletes an object, or one version of it.
func (d *deliveryStack) drop(t *testing.T, key, version string) {
	t.Helper()
	in := &s3.DeleteObjectInput{Bucket: aws.String(s3Bucket), Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	if _, err := d.s3.DeleteObject(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

// put writes an object past the program.
func (d *deliveryStack) put(t *testing.T, key, content string) {
	t.Helper()
	if _, err := d.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(s3Bucket), Key: &key, Body: strings.NewReader(content)}); err != nil {
		t.Fatal(err)
	}
}

// What lies in the bucket is read back as the receipt names it: by version. What
// is written over it later is another one, what is hidden is still there; what is
// gone, changed or out of reach is said to be so.
func testVerificationReadsTheBucket(t *testing.T) {
	d := deliveries(t)
	cases := []string{"removed", "hidden", "covered", "swapped", "changed", "manifest removed"}
	var asked []exportCase
	for range cases {
		asked = append(asked, d.approved(t, "bucket", "/users/export?format=csv"))
	}
	exports := map[string]exportMeta{}
	for i, e := range asked {
		exports[cases[i]] = e.delivered(t)
	}
	find := func(name string, manifest bool) (key, version string) {
		t.Helper()
		m := exports[name]
		for _, o := range d.rows(t, m.id())[0].receipt(t).Objects {
			if o.VersionID == "" {
				t.Fatalf("the receipt does not name the version of %s", o.Key)
			}
			if o.Name == m.Seal.FileName && !manifest || o.Name == "manifest.dsse.json" && manifest {
				return o.Key, o.VersionID
			}
		}
		t.Fatalf("the receipt of %s does not name the file", name)
		return "", ""
	}
	key, version := find("removed", false)
	d.drop(t, key, version)
	key, _ = find("hidden", false)
	d.drop(t, key, "") // a marker lies over it
	key, _ = find("covered", false)
	d.put(t, key, "other bytes")
	key, version = find("swapped", false)
	d.drop(t, key, version)
	d.put(t, key, "other bytes")
	key, version = find("manifest removed", true)
	d.drop(t, key, version)
	key, _ = find("changed", false) // behind the server's back, in the version itself
	if err := change(filepath.Join(d.config.Root, s3Bucket, key), func(b []byte) []byte { b[0] ^= 1; return b }); err != nil {
		t.Fatal(err)
	}
	for name, wanted := range map[string]string{
		"removed": "missing/object_missing", "hidden": "verified/", "covered": "verified/", "swapped": "missing/object_missing",
		"changed": "tampered/content", "manifest removed": "missing/object_missing",
	} {
		m := exports[name]
		verdict, last := d.verify(t, m.id())
		if got := last.Verdict + "/" + last.Code; got != wanted || !strings.HasPrefix(wanted, verdict+"/") {
			t.Errorf("%s: the export is %s, its delivery %s, want %s", name, verdict, got, wanted)
		}
		if now := d.meta(t, m.id()); now.DeliveryStatus != "delivered" || len(d.rows(t, m.id())) != 1 {
			t.Errorf("%s: %+v", name, now)
		}
	}
	d.tidy(t)
}

// Without its server nothing is known of what lies in a bucket, and what is to go
// there waits until the server is back.
func testBucketIsDownForAWhile(t *testing.T) {
	d := deliveries(t)
	there := d.approved(t, "bucket", "/users/export?format=csv").delivered(t)
	if err := d.server.Stop(); err != nil {
		t.Fatal(err)
	}
	waiting := d.approved(t, "bucket", "/users/export?format=csv")
	verdict, last := d.verify(t, there.id())
	if verdict != "unreachable" || last.Verdict != "unreachable" || last.Status != "delivered" {
		t.Errorf("the export is %s, %+v", verdict, last)
	}
	id := waiting.exportID(t)
	eventually(t, "an attempt has failed", func() bool { return strings.Contains(d.statuses(t, id), "failed") })
	want(t, d.call(t, "alice", "GET", waiting.path, ""), http.StatusOK)
	var err error
	if d.server, err = devstack.StartVersitygw(t.Context(), d.config); err != nil {
		t.Fatal(err)
	}
	if verdict, last := d.verify(t, there.id()); verdict != "verified" || last.Verdict != "verified" {
		t.Errorf("the export is %s, %+v", verdict, last)
	}
	m := waiting.delivered(t)
	if m.DeliveryStatus != "delivered" || m.VerificationStatus != "verified" || strings.Contains(d.statuses(t, id), "unknown") {
		t.Errorf("%+v, %+v", m, d.rows(t, id))
	}
	d.onceInBucket(t, id)
}

// Of an attempt whose workflow was terminated nobody says how it ended. It is not
// said to have died until that is certain.
func testDeliveryThatWasTerminated(t *testing.T) {
	d := deliveries(t)
	hung := d.gate.hang(func(r *http.Request) bool { return r.Method == http.MethodPut })
	e := d.approved(t, "bucket", "/users/export?format=csv")
	reached(t, hung)
	if err := d.temporal.TerminateWorkflow(t.Context(), workflows.DeliveryWorkflowID(e.number(t)), "", "by mistake"); err != nil {
		t.Fatal(err)
	}
	d.restartWorker(t, "")
	d.gate.misbehave(nil)
	id := e.exportID(t)
	want(t, d.call(t, "alice", "POST", "/exports/"+id+"/redeliver", "", "Idempotency-Key", "after all"), http.StatusAccepted)
	if got := d.statuses(t, id); got != "bucket attempting" {
		t.Errorf("while the attempt may be going on, the rows are: %s", got)
	}
	if err := exec1(d.stack, "UPDATE finobs.export_delivery SET started_at = started_at - interval '2 hours' WHERE export_id = $1::bigint", id); err != nil {
		t.Fatal(err)
	}
	if r := d.again(t, id, "after all"); r.str("delivery_status") != "delivered" || d.statuses(t, id) != "bucket unknown, bucket delivered" {
		t.Errorf("answered %s; the rows are: %s", r.Body, d.statuses(t, id))
	}
	d.onceInBucket(t, id)
}

// reached waits until a request hangs.
func reached(t *testing.T, hung <-chan bool) {
	t.Helper()
	select {
	case <-hung:
	case <-time.After(60 * time.Second):
		t.Fatal("no request came that was to hang")
	}
}

// A delivery that takes long is not said to have died because another is asked
// for meanwhile.
func testRedeliveryDuringADelivery(t *testing.T) {
	d := deliveries(t)
	begun := d.gate.hang(func(r *http.Request) bool { return r.Method == http.MethodPut })
	e := d.approved(t, "bucket", "/users/export?format=csv")
	reached(t, begun)
	id := e.exportID(t)
	again := d.call(t, "alice", "POST", "/exports/"+id+"/redeliver", "")
	byHand, err := d.temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "by-hand-" + id, TaskQueue: workflows.TaskQueue}, workflows.Deliver,
		workflows.DeliverInput{ExportID: e.number(t), Destination: "bucket"})
	if err != nil {
		t.Fatal(err)
	}
	if again.Status/100 != 2 {
		t.Errorf("answered %d: %s", again.Status, again.Body)
	}
	if got := d.statuses(t, id); got != "bucket attempting" {
		t.Errorf("while the first attempt is going on, the rows are: %s", got)
	}
	d.gate.misbehave(nil) // the client gives up on the request and makes another
	var out workflows.DeliverResult
	if err := byHand.Get(t.Context(), &out); err != nil || out.Status != "delivered" {
		t.Errorf("got %+v, %v", out, err)
	}
	d.untilRows(t, id, "bucket delivered, bucket delivered") // the first, and the one that alice asked for
	if m := e.delivered(t); m.VerificationStatus != "verified" {
		t.Errorf("got %+v", m)
	}
	d.onceInBucket(t, id)
}

// number is the id of the export.
func (e exportCase) number(t *testing.T) int64 {
	t.Helper()
	n, err := strconv.ParseInt(e.exportID(t), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
