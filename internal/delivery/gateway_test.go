package delivery_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"finobs/internal/delivery"
	"finobs/internal/devstack"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	accessKey  = "finobs-test"
	secretKey  = "finobs-test-secret"
	bucketName = "exports-of-tests"
)

// gateway is a real S3 server with a bucket, and a client that may do everything.
type gateway struct {
	*devstack.Versitygw
	*s3.Client
}

// The kinds of buckets.
const (
	plain     = ""
	versioned = "versioned"
	locking   = "locking"
)

func startGateway(t *testing.T, kind string) *gateway {
	t.Helper()
	bin, err := devstack.EnsureVersitygw(t.Context(), "../../.finobs/bin", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := devstack.VersitygwConfig{
		Bin: bin, Log: filepath.Join(dir, "log"), Root: filepath.Join(dir, "buckets"), Versions: filepath.Join(dir, "versions"),
		Access: accessKey, Secret: secretKey,
	}
	for _, folder := range []string{config.Root, config.Versions} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if config.Port, err = devstack.FreePort(0); err != nil {
		t.Fatal(err)
	}
	server, err := devstack.StartVersitygw(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	g := &gateway{server, s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	})}
	if _, err := g.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucketName), ObjectLockEnabledForBucket: aws.Bool(kind == locking)}); err != nil {
		t.Fatal(err)
	}
	if kind == versioned {
		if _, err := g.PutBucketVersioning(t.Context(), &s3.PutBucketVersioningInput{
			Bucket: aws.String(bucketName), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
		}); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// put writes an object past the destination.
func (g *gateway) put(t *testing.T, key, content string) {
	t.Helper()
	if _, err := g.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucketName), Key: &key, Body: strings.NewReader(content)}); err != nil {
		t.Fatal(err)
	}
}

// remove deletes an object, or one version of it.
func (g *gateway) remove(t *testing.T, key string, version *string) {
	t.Helper()
	if _, err := g.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucketName), Key: &key, VersionId: version}); err != nil {
		t.Fatal(err)
	}
}

// keys lists the objects of the bucket.
func (g *gateway) keys(t *testing.T) []string {
	t.Helper()
	out, err := g.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucketName)})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, *o.Key)
	}
	return keys
}

// versions lists the versions of the bucket's objects, as key@version.
func (g *gateway) versions(t *testing.T) []string {
	t.Helper()
	out, err := g.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(bucketName)})
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, o := range out.Versions {
		all = append(all, *o.Key+"@"+*o.VersionId)
	}
	return all
}

// uploads lists the keys of multipart uploads that were begun and not ended.
func (g *gateway) uploads(t *testing.T) []string {
	t.Helper()
	out, err := g.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucketName)})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range out.Uploads {
		keys = append(keys, *o.Key)
	}
	return keys
}

// destination is one that reaches an endpoint on this machine.
func destination(t *testing.T, endpoint, more string) delivery.Destination {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "access"), accessKey+"\n")
	write(t, filepath.Join(dir, "secret"), secretKey+"\n")
	return load(t, dir, fmt.Sprintf(
		"s3: {endpoint: %q, bucket: %s, prefix: finobs/prod, path_style: true, allow_private: true, access_key_file: access, secret_key_file: secret, %s}",
		endpoint, bucketName, more))
}

const s3Folder = "finobs/prod/exports/2026/7/"

// fault answers a request in place of the gateway, or does nothing and reports
// false.
type fault func(w http.ResponseWriter, r *http.Request) bool

// proxy stands before a gateway and lets requests through, unless a fault takes
// them.
type proxy struct {
	*httptest.Server

	mu       sync.Mutex
	requests []*http.Request
}

func startProxy(t *testing.T, g *gateway, f fault) *proxy {
	t.Helper()
	to, err := url.Parse(g.URL())
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // what the gateway does to a connection, the proxy does
		},
	}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.Clone(context.Background()))
		p.mu.Unlock()
		if f == nil || !f(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// seen returns "PUT data.csv" and the like of the requests, in order, for one
// method.
func (p *proxy) seen(method string) []*http.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*http.Request
	for _, r := range p.requests {
		if r.Method == method {
			out = append(out, r)
		}
	}
	return out
}

// first lets a fault happen to the first n requests that match.
func first(n int, match func(r *http.Request) bool, f fault) fault {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		hit := match(r) && n > 0
		if hit {
			n--
		}
		mu.Unlock()
		return hit && f(w, r)
	}
}

const always = 1 << 30

func isPut(r *http.Request) bool { return r.Method == http.MethodPut }
func isGet(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/exports/")
}
func isPart(r *http.Request) bool {
	return isPut(r) && r.URL.Query().Get("partNumber") == "2"
}
func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}
func anything(*http.Request) bool { return true }

// says answers an error as S3 does.
func says(status int, code string) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // or the connection may be reset before the answer is read
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>As told.</Message></Error>", code)
		return true
	}
}

// hangs answers nothing, until the client gives up.
func hangs(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body) // only then does the server see who leaves
	<-r.Context().Done()
	return true
}

// cutsBody drops the connection after some of the request's body.
func cutsBody(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = r.Body.Read(make([]byte, 10))
	panic(http.ErrAbortHandler)
}

// losesAnswer lets the gateway do its work, and drops the connection in place of
// its answer.
func losesAnswer(g *gateway) fault {
	return func(_ http.ResponseWriter, r *http.Request) bool {
		to, err := url.Parse(g.URL())
		if err != nil {
			panic(err)
		}
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host
		}}).ServeHTTP(&httptest.ResponseRecorder{Body: &bytes.Buffer{}}, r)
		panic(http.ErrAbortHandler)
	}
}

// cutsAnswer sends the beginning of an object and drops the connection, or says
// no more when hang is set.
func cutsAnswer(hang bool) fault {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("beginning"))
		w.(http.Flusher).Flush()
		if hang {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
}
