package delivery

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"finobs/internal/outbound"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A request is made this many times, with pauses of up to this long, before the
// delivery fails. Whoever delivers comes back later.
const (
	requestAttempts = 3
	requestBackoff  = time.Second
)

// connect makes the clients. Nothing comes from the environment, from a file of
// the SDK's, or from a cloud's metadata service.
func (d *bucket) connect(access, secret string, roots *x509.CertPool) {
	requests := aws.RequestChecksumCalculationWhenSupported
	if d.config.Checksum == whenRequired {
		requests = aws.RequestChecksumCalculationWhenRequired
	}
	client := func(timeout time.Duration) *s3.Client {
		return s3.New(s3.Options{
			Region: d.config.Region, BaseEndpoint: &d.config.Endpoint, UsePathStyle: d.config.PathStyle,
			Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
			HTTPClient:  outbound.Client{Roots: roots, AllowPrivate: d.config.AllowPrivate, Timeout: timeout, KeepAlive: true}.Open(),
			Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff = requestAttempts, requestBackoff
			}),
			RequestChecksumCalculation: requests,
			// The bytes as they are: whoever reads compares digests, and must be
			// able to tell other bytes from none.
			ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		})
	}
	d.writer, d.reader = client(d.timeout), client(0)
	d.transfers = transfermanager.New(d.writer, func(o *transfermanager.Options) {
		o.Concurrency, o.FailTimeout, o.RequestChecksumCalculation = partsAtOnce, abortTimeout, requests
	})
}

// errSilent ends a download of which nothing came for too long.
var errSilent = errors.New("nothing came in time")

// read opens an object. Errors wrap ErrMissing or ErrUnreachable; those of the
// body do not.
func (d *bucket) read(ctx context.Context, key, version string) (*s3.GetObjectOutput, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(d.timeout, func() { cancel(fmt.Errorf("%w: %s", errSilent, d.timeout)) })
	in := &s3.GetObjectInput{Bucket: &d.config.Bucket, Key: &key}
	if version != "" {
		in.VersionId = &version
	}
	out, err := d.reader.GetObject(ctx, in)
	timer.Stop()
	if err != nil {
		defer cancel(nil)
		kind := ErrUnreachable
		// A marker of deletion answers 405 when it is asked for by its version.
		if status, _ := answer(err); status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
			kind = ErrMissing
		}
		return nil, fmt.Errorf("%w: %s", kind, said(ctx, err))
	}
	out.Body = &download{body: out.Body, ctx: ctx, cancel: cancel, timer: timer, timeout: d.timeout}
	return out, nil
}

// download is the body of an object. It may take as long as it likes, unless
// nothing comes.
type download struct {
	body    io.ReadCloser
	ctx     context.Context // it ends with the body
	cancel  context.CancelCauseFunc
	timer   *time.Timer
	timeout time.Duration
}

// Read implements io.Reader.
func (b *download) Read(p []byte) (int, error) {
	b.timer.Reset(b.timeout)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF && context.Cause(b.ctx) != nil { //nolint:errorlint // the contract of io.Reader is to return io.EOF itself
		err = context.Cause(b.ctx)
	}
	return n, err
}

// Close implements io.Closer.
func (b *download) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.body.Close()
}

// transient are the codes of status 400 that concern the way, not the request.
var transient = map[string]bool{"RequestTimeout": true, "IncompleteBody": true, "BadDigest": true, "XAmzContentChecksumMismatch": true, "XAmzContentSHA256Mismatch": true}

// failure says what an error of a request means for a delivery.
func (d *bucket) failure(ctx context.Context, act string, err error) *Error {
	where := "bucket " + d.config.Bucket + " at " + d.config.Endpoint
	status, code := answer(err)
	switch {
	case outbound.Forbidden(err):
		return failed(false, err, "%s in %s: it is on this machine or in a private network; set s3.allow_private: true if that is meant", act, where)
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return failed(false, err,
			"%s in %s: %s; check the keys, and that they may s3:PutObject, s3:GetObject, s3:ListBucketMultipartUploads, s3:AbortMultipartUpload and, with object_lock, s3:PutObjectRetention",
			act, where, said(ctx, err))
	case code == "NoSuchBucket":
		return failed(false, err, "%s in %s: %s; make the bucket, or correct s3.bucket", act, where, said(ctx, err))
	case status == 0, status >= 500, transient[code], status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status == http.StatusConflict:
		return failed(true, err, "%s in %s: %s", act, where, said(ctx, err))
	}
	return failed(false, err, "%s in %s: %s", act, where, said(ctx, err))
}

// answer is the status and the code that the server answered; 0 and empty when
// the error is no answer.
func answer(err error) (status int, code string) {
	var response *smithyhttp.ResponseError
	// A response whose body did not come has its status too.
	if errors.As(err, &response) && response.Response != nil {
		status = response.HTTPStatusCode()
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	return status, code
}

// said is what the server said or, where it said nothing, why the request ended.
func said(ctx context.Context, err error) string {
	status, code := answer(err)
	var api smithy.APIError
	switch {
	case context.Cause(ctx) != nil:
		return context.Cause(ctx).Error()
	case errors.As(err, &api) && status != 0:
		return fmt.Sprintf("%d %s: %s", status, code, api.ErrorMessage())
	case status != 0:
		return fmt.Sprintf("%d %s", status, http.StatusText(status))
	}
	var request *url.Error // without it the SDK's words would fill the line
	if errors.As(err, &request) {
		if request.Timeout() {
			return "no answer in time"
		}
		return request.Err.Error()
	}
	return err.Error()
}
