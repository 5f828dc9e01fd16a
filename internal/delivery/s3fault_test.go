package delivery_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"finobs/internal/delivery"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestS3Faults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault     func(g *gateway) fault
		delivered bool
		retry     bool
		says      string
	}{
		"500 twice":                {func(*gateway) fault { return first(2, isPut, says(500, "InternalError")) }, true, false, ""},
		"500":                      {func(*gateway) fault { return first(always, isPut, says(500, "InternalError")) }, false, true, "500 InternalError: As told."},
		"503":                      {func(*gateway) fault { return first(always, isPut, says(503, "SlowDown")) }, false, true, "503 SlowDown"},
		"503 for everything":       {func(*gateway) fault { return first(always, anything, says(503, "SlowDown")) }, false, true, "503 SlowDown"},
		"507":                      {func(*gateway) fault { return first(always, isPut, says(507, "StorageFull")) }, false, true, "507 StorageFull"},
		"400":                      {func(*gateway) fault { return first(always, isPut, says(400, "InvalidRequest")) }, false, false, "400 InvalidRequest"},
		"conflict":                 {func(*gateway) fault { return first(always, isPut, says(409, "ConditionalRequestConflict")) }, false, true, "409"},
		"body did not come whole":  {func(*gateway) fault { return first(always, isPut, says(400, "IncompleteBody")) }, false, true, "IncompleteBody"},
		"in the way and then gone": {func(*gateway) fault { return first(always, isPut, says(412, "PreconditionFailed")) }, false, true, "412"},
		"slow":                     {func(*gateway) fault { return first(always, isPut, hangs) }, false, true, "no answer in time"},
		"slow once":                {func(*gateway) fault { return first(1, isPut, hangs) }, true, false, ""},
		"cut":                      {func(*gateway) fault { return first(always, isPut, cutsBody) }, false, true, "uploading"},
		"cut once":                 {func(*gateway) fault { return first(1, isPut, cutsBody) }, true, false, ""},
		"answer lost":              {func(g *gateway) fault { return first(1, isPut, losesAnswer(g)) }, true, false, ""},
		"no answer":                {func(g *gateway) fault { return first(3, isPut, losesAnswer(g)) }, true, false, ""},
		"answer of complete lost":  {func(g *gateway) fault { return first(1, isComplete, losesAnswer(g)) }, true, false, ""},
		"complete fails":           {func(*gateway) fault { return first(always, isComplete, says(500, "InternalError")) }, false, true, "500"},
		"one part fails":           {func(*gateway) fault { return first(always, isPart, says(500, "InternalError")) }, false, true, "500"},
		"one part fails once":      {func(*gateway) fault { return first(1, isPart, says(503, "SlowDown")) }, true, false, ""},
		"one part is cut":          {func(*gateway) fault { return first(always, isPart, cutsBody) }, false, true, "uploading"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, versioned)
			p := startProxy(t, g, c.fault(g))
			timeout := "2s"
			if c.says == "no answer in time" {
				timeout = "500ms"
			}
			d := destination(t, p.URL, "part_size_mib: 5, timeout: "+timeout)
			// The data in parts, the manifest at once.
			b := only(bundle(noise(6 << 20)))
			receipt, err := d.Deliver(t.Context(), b)
			if got := g.uploads(t); len(got) != 0 {
				t.Errorf("it left uploads of %q", got)
			}
			if c.delivered {
				if err != nil {
					t.Fatal(err)
				}
				wantAll(t, d, receipt, b)
				if got := g.versions(t); len(got) != 2 || receipt.Objects[0].VersionID == "" {
					t.Errorf("got %q, %+v", got, receipt)
				}
				return
			}
			wantFailure(t, err, delivery.Failed, c.retry, c.says)
			if got := g.keys(t); slices.Contains(got, s3Folder+b.ManifestFile) {
				t.Errorf("the manifest is there, and the delivery failed: %q", got)
			}
			// When the fault is over, the same delivery succeeds.
			d = destination(t, g.URL(), "part_size_mib: 5")
			wantAll(t, d, deliver(t, d, b), b)
		})
	}
}

func TestS3EndedInTheMiddleLeavesNoParts(t *testing.T) {
	t.Parallel()
	g := startGateway(t, plain)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p := startProxy(t, g, first(1, isPart, func(w http.ResponseWriter, r *http.Request) bool {
		cancel()
		return hangs(w, r)
	}))
	_, err := destination(t, p.URL, "part_size_mib: 5").Deliver(ctx, only(bundle(noise(6<<20))))
	wantFailure(t, err, delivery.Failed, true, "canceled")
	if got := g.uploads(t); len(got) != 0 {
		t.Errorf("it left uploads of %q", got)
	}
	if len(p.seen(http.MethodDelete)) != 1 {
		t.Error("nothing was begun, so this shows nothing")
	}
}

func TestS3FetchFaults(t *testing.T) {
	t.Parallel()
	g := startGateway(t, plain)
	b := bundle([]byte("a,b\n1,2\n"))
	receipt := deliver(t, destination(t, g.URL(), ""), b)
	for name, c := range map[string]struct {
		fault fault
		want  error // nil: it is read
	}{
		"500":             {first(always, isGet, says(500, "InternalError")), delivery.ErrUnreachable},
		"500 once":        {first(1, isGet, says(500, "InternalError")), nil},
		"503":             {first(always, isGet, says(503, "SlowDown")), delivery.ErrUnreachable},
		"403":             {first(always, isGet, says(403, "AccessDenied")), delivery.ErrUnreachable},
		"hangs":           {first(always, isGet, hangs), delivery.ErrUnreachable},
		"cut":             {first(always, isGet, cutsAnswer(false)), delivery.ErrUnreachable},
		"hangs in middle": {first(always, isGet, cutsAnswer(true)), delivery.ErrUnreachable},
		"no such version": {first(always, isGet, says(404, "NoSuchVersion")), delivery.ErrMissing},
		"no such bucket":  {first(always, isGet, says(404, "NoSuchBucket")), delivery.ErrMissing},
		"marker":          {first(always, isGet, says(405, "MethodNotAllowed")), delivery.ErrMissing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := destination(t, startProxy(t, g, c.fault).URL, "timeout: 1s")
			got, err := fetched(t, d, receipt, "data.csv")
			if !errors.Is(err, c.want) || c.want == nil && string(got) != "a,b\n1,2\n" {
				t.Errorf("got %q, %v", got, err)
			}
			if errors.Is(c.want, delivery.ErrUnreachable) && errors.Is(err, delivery.ErrMissing) {
				t.Errorf("%v is two things at once", err)
			}
		})
	}
}

func TestS3ALongDownloadIsNotCutShort(t *testing.T) {
	t.Parallel()
	g := startGateway(t, plain)
	b := bundle([]byte("x"))
	receipt := deliver(t, destination(t, g.URL(), ""), b)
	// The body takes longer than the time limit, but never stands still as long.
	const text, pace = "a long download", 100 * time.Millisecond
	p := startProxy(t, g, first(always, isGet, func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		for _, c := range text {
			_, _ = io.WriteString(w, string(c))
			w.(http.Flusher).Flush()
			select {
			case <-time.After(pace):
			case <-r.Context().Done():
			}
		}
		return true
	}))
	got, err := fetched(t, destination(t, p.URL, "timeout: 1s"), receipt, "data.csv")
	if err != nil || string(got) != text {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestS3Permissions(t *testing.T) {
	t.Parallel()
	g := startGateway(t, plain)
	b := bundle([]byte("x"))
	receipt := deliver(t, destination(t, g.URL(), ""), b)

	dir := t.TempDir()
	write(t, filepath.Join(dir, "access"), accessKey)
	write(t, filepath.Join(dir, "secret"), "not the secret")
	with := func(endpoint, bucket, more string) delivery.Destination {
		return load(t, dir, "s3: {endpoint: \""+endpoint+"\", bucket: "+bucket+", prefix: finobs/prod, path_style: true, access_key_file: access, secret_key_file: secret, "+more+"}")
	}
	d := with(g.URL(), bucketName, "allow_private: true")
	failedDelivery(t, d, b, false, "403", "SignatureDoesNotMatch", "check the keys")
	wantFetch(t, d, receipt, "data.csv", delivery.ErrUnreachable)

	write(t, filepath.Join(dir, "secret"), secretKey)
	d = with(g.URL(), "no-such-bucket", "allow_private: true")
	failedDelivery(t, d, b, false, "NoSuchBucket", "make the bucket")
	wantFetch(t, d, receipt, "data.csv", delivery.ErrMissing)

	// Without allow_private nothing is said to a server on this machine.
	p := startProxy(t, g, nil)
	d = with("https"+p.URL[len("http"):], bucketName, "timeout: 5s")
	failedDelivery(t, d, b, false, "s3.allow_private: true")
	wantFetch(t, d, receipt, "data.csv", delivery.ErrUnreachable)
	if got := p.seen(http.MethodGet); len(got) != 0 {
		t.Errorf("the server heard %d requests", len(got))
	}
	// The bucket is as it was.
	if _, err := g.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucketName), Key: &receipt.Objects[0].Key}); err != nil {
		t.Error(err)
	}
}
