package delivery

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strconv"
	"time"

	"finobs/internal/outbound"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	transfertypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Limits of S3 (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html).
const (
	maxParts   = 10_000
	minPartMiB = 5
	maxPartMiB = 1024 // S3 takes 5 GiB; a part is held in memory
)

// abortTimeout is how long ending a failed multipart upload may take, when the
// delivery itself has no time left.
const abortTimeout = 30 * time.Second

// partsAtOnce is how many parts are on their way at a time. Each is in memory,
// and so is the next one.
const partsAtOnce = 2

// bucket is a Destination: a bucket of an S3 server.
type bucket struct {
	config   s3Entry
	name     string // of the destination
	prefix   string // of every key; empty or with / at its end
	partSize int64  // bytes
	timeout  time.Duration
	now      func() time.Time

	writer    *s3.Client // gives up on a request after timeout
	reader    *s3.Client // whose caller gives up after timeout without a byte
	transfers *transfermanager.Client
}

// Repeatable implements Destination: every write is made only where nothing is.
func (d *bucket) Repeatable() bool { return true }

// Describe implements Destination.
func (d *bucket) Describe() Description {
	c := d.config
	lines := []string{
		"name", d.name, "endpoint", c.Endpoint, "region", c.Region, "bucket", c.Bucket, "prefix", c.Prefix,
		"path_style", strconv.FormatBool(c.PathStyle), "checksum", c.Checksum, "allow_private", strconv.FormatBool(c.AllowPrivate),
		"ca_file", c.CAFile,
	}
	if c.ObjectLock != nil {
		lines = append(lines, "object_lock", fmt.Sprintf("%s for %d days", c.ObjectLock.Mode, c.ObjectLock.Days))
	}
	return Description{Type: "s3", Settings: settings(lines...)}
}

// Deliver implements Destination.
func (d *bucket) Deliver(ctx context.Context, b Bundle) (Receipt, error) {
	if err := b.check(); err != nil {
		return Receipt{}, err
	}
	folder := d.prefix + b.folder()
	if err := d.abortStale(ctx, folder+"/"); err != nil {
		return Receipt{}, d.failure(ctx, "looking for multipart uploads that an earlier attempt left", err)
	}
	objects, err := b.each(func(f File) (Object, error) { return d.put(ctx, b.SealedAt, folder+"/"+f.Name, f) })
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{Ref: "s3://" + d.config.Bucket + "/" + folder, Objects: objects}, nil
}

// abortStale ends the multipart uploads below a prefix: parts of an upload that
// was never completed are paid for and seen by nobody.
func (d *bucket) abortStale(ctx context.Context, prefix string) error {
	pages := s3.NewListMultipartUploadsPaginator(d.writer, &s3.ListMultipartUploadsInput{Bucket: &d.config.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, upload := range page.Uploads {
			_, err := d.writer.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &d.config.Bucket, Key: upload.Key, UploadId: upload.UploadId})
			if _, code := answer(err); err != nil && code != "NoSuchUpload" {
				return err
			}
		}
	}
	return nil
}

// put uploads one file, in parts when it is not smaller than one.
func (d *bucket) put(ctx context.Context, sealedAt time.Time, key string, f File) (Object, error) {
	from, err := open(ctx, f)
	if err != nil {
		return Object{}, err
	}
	defer from.Close()
	part := partSize(f.Size, d.partSize)
	in := &transfermanager.UploadObjectInput{
		Bucket: &d.config.Bucket, Key: &key, Body: struct{ io.Reader }{from}, ContentLength: &f.Size,
		IfNoneMatch: aws.String("*"), Metadata: map[string]string{"sha256": f.SHA256},
	}
	object := Object{Name: f.Name, Key: key, Size: f.Size, SHA256: f.SHA256}
	if lock := d.config.ObjectLock; lock != nil {
		// When the time is over, S3 would refuse to lock until then.
		if until := sealedAt.UTC().AddDate(0, 0, lock.Days).Truncate(time.Second); until.After(d.now()) {
			in.ObjectLockMode, in.ObjectLockRetainUntilDate = lock.mode(), &until
			object.RetainUntil = until
		}
	}
	// S3 takes no lock without a checksum.
	if d.config.Checksum != whenRequired || in.ObjectLockMode != "" {
		in.ChecksumAlgorithm = transfertypes.ChecksumAlgorithmSha256
		if f.Size < part {
			// The sealed digest itself, so that the server checks what it got
			// against it. In parts each has its own.
			in.ChecksumSHA256 = aws.String(checksum(f.SHA256))
		}
	}
	out, err := d.transfers.UploadObject(ctx, in, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold = part, part
	})
	switch {
	case from.err != nil:
		return Object{}, from.err
	case err != nil:
		return d.settle(ctx, f, object, err)
	}
	object.VersionID, object.ChecksumSHA256 = aws.ToString(out.VersionID), aws.ToString(out.ChecksumSHA256)
	if object.VersionID == "" && f.Size >= part {
		// A server that is asked twice to complete an upload may not say it again.
		head, err := d.head(ctx, key, "")
		if err != nil {
			return Object{}, d.failure(ctx, "looking at "+key, err)
		}
		if aws.ToString(head.ETag) == aws.ToString(out.ETag) {
			object.VersionID = aws.ToString(head.VersionId)
		}
	}
	return object, nil
}

// head asks what a server knows about an object.
func (d *bucket) head(ctx context.Context, key, version string) (*s3.HeadObjectOutput, error) {
	in := &s3.HeadObjectInput{Bucket: &d.config.Bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled}
	if version != "" {
		in.VersionId = &version
	}
	return d.writer.HeadObject(ctx, in)
}

// settle finds out what an upload that did not succeed means. It may be there all
// the same, from now or from an earlier attempt: the answer can be lost, and
// where it is not, it is 412 Precondition Failed.
func (d *bucket) settle(ctx context.Context, f File, object Object, uploadErr error) (Object, error) {
	failure := d.failure(ctx, "uploading "+object.Key, uploadErr)
	status, _ := answer(uploadErr)
	if ctx.Err() != nil || status == http.StatusForbidden || outbound.Forbidden(uploadErr) {
		return Object{}, failure
	}
	got, version, err := d.look(ctx, object.Key)
	switch {
	case errors.Is(err, ErrMissing):
		// What was in the way a moment ago is gone.
		failure.Retry = failure.Retry || status == http.StatusPreconditionFailed
		return Object{}, failure
	case err != nil:
		// What lies there, if anything, is not known; it may be readable later.
		return Object{}, failed(true, uploadErr, "%s; reading what lies there: %v", failure.Reason, err)
	case got != f.SHA256:
		return Object{}, failed(false, uploadErr,
			"s3://%s/%s is there with other content: its SHA-256 is %s, not %s; it stays as it is: find out who wrote it, move it away, and deliver again",
			d.config.Bucket, object.Key, got, f.SHA256)
	}
	head, err := d.head(ctx, object.Key, version)
	if err != nil {
		return Object{}, d.failure(ctx, "looking at "+object.Key, err)
	}
	object.VersionID, object.ChecksumSHA256, object.RetainUntil = version, aws.ToString(head.ChecksumSHA256), aws.ToTime(head.ObjectLockRetainUntilDate)
	return object, nil
}

// look reads what lies at a key, to its end, and returns its SHA-256. What the
// server says about its content is not enough: metadata is whatever the writer
// claimed.
func (d *bucket) look(ctx context.Context, key string) (sha256, version string, err error) {
	out, err := d.read(ctx, key, "")
	if err != nil {
		return "", "", err
	}
	defer out.Body.Close()
	sha256, err = digest(ctx, out.Body)
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return sha256, aws.ToString(out.VersionId), nil
}

// partSize is the size of the parts of a file, in bytes: the one that is wished,
// or as much as keeps their number within what S3 takes.
func partSize(size, wish int64) int64 {
	return max(wish, (size+maxParts-1)/maxParts)
}

// checksum is a digest in the form of S3's headers.
func checksum(sha256 string) string {
	raw, err := hex.DecodeString(sha256)
	if err != nil {
		return "" // Bundle.check refused it
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// Fetch implements Destination. It reads the version that was delivered, where
// the bucket keeps versions: a marker of deletion hides it, and a newer version
// may lie over it.
func (d *bucket) Fetch(ctx context.Context, r Receipt, name string) (io.ReadCloser, error) {
	o, err := r.object(d.prefix, name)
	if err != nil {
		return nil, err
	}
	where := "s3://" + path.Join(d.config.Bucket, o.Key)
	out, err := d.read(ctx, o.Key, o.VersionID)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", where, err)
	}
	return reading{out.Body, where}, nil
}
