package delivery_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/delivery"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func base64Digest(t *testing.T, content []byte) string {
	t.Helper()
	raw, err := hex.DecodeString(hexDigest(content))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// throughJSON keeps a receipt as its keeper does.
func throughJSON(t *testing.T, r delivery.Receipt) delivery.Receipt {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var out delivery.Receipt
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestS3Delivery(t *testing.T) {
	// Nothing of these may matter.
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CA_BUNDLE", "HTTP_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	g := startGateway(t, plain)
	p := startProxy(t, g, nil)
	d := destination(t, p.URL, "")
	data := noise(300_000)
	b := bundle(data)
	receipt := throughJSON(t, deliver(t, d, b))
	if receipt.Ref != "s3://"+bucketName+"/"+strings.TrimSuffix(s3Folder, "/") {
		t.Errorf("got %+v", receipt)
	}
	if o := receipt.Objects[0]; o.Key != s3Folder+"data.csv" || o.VersionID != "" || o.ChecksumSHA256 != base64Digest(t, data) || !o.RetainUntil.IsZero() {
		t.Errorf("got %+v", o)
	}
	wantAll(t, d, receipt, b)
	head, err := g.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucketName), Key: &receipt.Objects[0].Key})
	if err != nil || head.Metadata["sha256"] != hexDigest(data) {
		t.Errorf("got %v, %v", head, err)
	}
	var order []string
	for _, r := range p.seen("PUT") {
		order = append(order, path.Base(r.URL.Path))
		if r.Header.Get("If-None-Match") != "*" || r.Header.Get("X-Amz-Checksum-Sha256") == "" {
			t.Errorf("%s: got %v", r.URL, r.Header)
		}
	}
	want := []string{"data.csv", "manifest.tlog-proof", "SHA256SUMS", "SHA256SUMS.sig", "README.txt", "manifest.dsse.json"}
	if !slices.Equal(order, want) {
		t.Errorf("written in the order %q", order)
	}
	if !d.Repeatable() {
		t.Error("it is not repeatable")
	}
}

func TestS3VersionsAreRecordedAndRead(t *testing.T) {
	t.Parallel()
	g := startGateway(t, versioned)
	d := destination(t, g.URL(), "")
	b := bundle([]byte("a,b\n1,2\n"))
	receipt := throughJSON(t, deliver(t, d, b))
	o := receipt.Objects[0]
	if o.VersionID == "" {
		t.Fatal("no version was recorded")
	}
	before := g.versions(t)
	again := deliver(t, d, b)
	if got := g.versions(t); !slices.Equal(got, before) || again.Objects[0].VersionID != o.VersionID {
		t.Errorf("delivering again: got %q, had %q", got, before)
	}

	// Neither a newer version nor a marker of deletion hides what was delivered.
	g.put(t, o.Key, "tampered")
	wantAll(t, d, receipt, b)
	failedDelivery(t, d, b, false, "other content", hexDigest([]byte("tampered")))
	g.remove(t, o.Key, nil)
	wantAll(t, d, receipt, b)
	wantFetch(t, d, delivery.Receipt{Objects: []delivery.Object{{Name: o.Name, Key: o.Key}}}, o.Name, delivery.ErrMissing)

	g.remove(t, o.Key, &o.VersionID)
	wantFetch(t, d, receipt, "data.csv", delivery.ErrMissing)
}

func TestS3Fetch(t *testing.T) {
	t.Parallel()
	g := startGateway(t, plain)
	d := destination(t, g.URL(), "")
	b := bundle([]byte("a,b\n1,2\n"))
	receipt := deliver(t, d, b)
	key := receipt.Objects[0].Key
	g.put(t, key, "tampered")
	if got, err := fetched(t, d, receipt, "data.csv"); err != nil || string(got) != "tampered" {
		t.Errorf("got %q, %v", got, err)
	}
	g.remove(t, key, nil)
	wantFetch(t, d, receipt, "data.csv", delivery.ErrMissing)
	wantFetch(t, d, receipt, "other.csv", delivery.ErrMissing)

	// A receipt leads nowhere but to a place of a delivery.
	g.put(t, "secret", "secret")
	for _, key := range []string{"secret", "finobs/prod/secret", "exports/2026/7/secret", s3Folder + "../../../../../secret", ""} {
		wantFetch(t, d, delivery.Receipt{Objects: []delivery.Object{{Name: "secret", Key: key}}}, "secret", delivery.ErrMissing)
	}

	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	wantFetch(t, d, receipt, "README.txt", delivery.ErrUnreachable)
	failedDelivery(t, d, b, true, g.URL(), "refused")
}

func TestS3NeverOverwrites(t *testing.T) {
	t.Parallel()
	data := noise(6 << 20)
	for name, b := range map[string]delivery.Bundle{"at once": bundle([]byte("a,b\n1,2\n")), "in parts": bundle(data)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, plain)
			d := destination(t, g.URL(), "part_size_mib: 5")
			key := s3Folder + "data.csv"
			g.put(t, key, "somebody's")
			failedDelivery(t, d, b, false, key, "other content", hexDigest([]byte("somebody's")), "move it away")
			if got := g.keys(t); !slices.Equal(got, []string{key}) {
				t.Errorf("got %q", got)
			}
			if got := g.uploads(t); len(got) != 0 {
				t.Errorf("it left uploads of %q", got)
			}
			// Somebody's object that claims our digest is somebody's all the same.
			g.remove(t, key, nil)
			if _, err := g.PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: aws.String(bucketName), Key: &key, Body: strings.NewReader("somebody's"), Metadata: map[string]string{"sha256": b.Files[0].SHA256},
			}); err != nil {
				t.Fatal(err)
			}
			failedDelivery(t, d, b, false, "other content")

			// The same bytes, from an attempt that nobody remembers.
			g.remove(t, key, nil)
			first := deliver(t, d, b)
			wantAll(t, d, first, b)
			wantAll(t, d, deliver(t, d, b), b)
		})
	}
}

func TestS3InParts(t *testing.T) {
	t.Parallel()
	g := startGateway(t, versioned)
	d := destination(t, g.URL(), "part_size_mib: 5")
	b := only(bundle(noise(11 << 20)))
	receipt := deliver(t, d, b)
	if o := receipt.Objects[0]; o.VersionID == "" || !strings.HasSuffix(o.ChecksumSHA256, "-3") {
		t.Errorf("got %+v", o)
	}
	wantAll(t, d, receipt, b)
	if got := g.uploads(t); len(got) != 0 {
		t.Errorf("it left uploads of %q", got)
	}
}

func TestS3AbortsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	g := startGateway(t, plain)
	mine, others := s3Folder+"data.csv", "finobs/prod/exports/2026/70/data.csv"
	for _, key := range []string{mine, mine, others} {
		if _, err := g.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: aws.String(bucketName), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	deliver(t, destination(t, g.URL(), ""), bundle([]byte("x")))
	if got := g.uploads(t); !slices.Equal(got, []string{others}) {
		t.Errorf("got uploads of %q", got)
	}
}

func TestS3ObjectLock(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]types.ObjectLockRetentionMode{"governance": types.ObjectLockRetentionModeGovernance, "compliance": types.ObjectLockRetentionModeCompliance} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, locking)
			// With a checksum even where none is sent otherwise: S3 locks nothing without.
			d := destination(t, g.URL(), "part_size_mib: 5, checksum: when_required, object_lock: {mode: "+mode+", days: 36500}")
			b := only(bundle(noise(6 << 20)))
			receipt := throughJSON(t, deliver(t, d, b))
			until := sealedAt.AddDate(0, 0, 36500)
			for _, o := range receipt.Objects {
				got, err := g.GetObjectRetention(t.Context(), &s3.GetObjectRetentionInput{Bucket: aws.String(bucketName), Key: &o.Key, VersionId: &o.VersionID})
				if err != nil || got.Retention.Mode != want || !got.Retention.RetainUntilDate.Equal(until) || !o.RetainUntil.Equal(until) {
					t.Errorf("%s: got %+v, %v; the receipt says %s", o.Name, got, err, o.RetainUntil)
				}
				if _, err := g.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucketName), Key: &o.Key, VersionId: &o.VersionID}); err == nil {
					t.Errorf("%s was deleted", o.Name)
				}
			}
			wantAll(t, d, receipt, b)
			again := deliver(t, d, b)
			if got := again.Objects[0]; got.VersionID != receipt.Objects[0].VersionID || !got.RetainUntil.Equal(until) {
				t.Errorf("delivered again: got %+v", got)
			}
		})
	}
}

func TestS3LocksNoLongerThanAgreed(t *testing.T) {
	t.Parallel()
	g := startGateway(t, locking)
	d := destination(t, g.URL(), "object_lock: {mode: governance, days: 30}")
	b := bundle([]byte("x"))
	b.SealedAt = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	receipt := deliver(t, d, b)
	if o := receipt.Objects[0]; !o.RetainUntil.IsZero() || o.VersionID == "" {
		t.Errorf("got %+v", o)
	}
}

func TestS3Checksums(t *testing.T) {
	t.Parallel()
	g := startGateway(t, plain)
	p := startProxy(t, g, nil)
	d := destination(t, p.URL, "checksum: when_required, part_size_mib: 5")
	b := only(bundle(noise(6 << 20)))
	wantAll(t, d, deliver(t, d, b), b)
	puts := p.seen("PUT")
	if len(puts) != 3 { // two parts and the manifest
		t.Errorf("got %d requests", len(puts))
	}
	for _, r := range puts {
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Amz-Checksum") || strings.HasPrefix(name, "X-Amz-Sdk-Checksum") || name == "X-Amz-Trailer" {
				t.Errorf("%s: got %s", r.URL, name)
			}
		}
	}
}

func TestS3RefusesDamagedSources(t *testing.T) {
	t.Parallel()
	g := startGateway(t, plain)
	d := destination(t, g.URL(), "part_size_mib: 5")
	for _, size := range []int{100, 11 << 20} {
		data := noise(size)
		b := bundle(data)
		last := slices.Clone(data)
		last[size-1] ^= 1
		for _, bad := range [][]byte{last, data[:size-1], append(slices.Clone(data), 0)} {
			damage(&b, bad)
			failedDelivery(t, d, b, false, "data.csv", "damaged")
		}
	}
	if got := g.keys(t); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	if got := g.uploads(t); len(got) != 0 {
		t.Errorf("got uploads of %q", got)
	}
}
