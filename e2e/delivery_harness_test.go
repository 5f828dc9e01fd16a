package e2e_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"finobs/internal/delivery"
	"finobs/internal/devstack"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

// posts is the stack of the tests of deliveries. Its exports go to the folders
// archive and second, to a bucket of a real S3 server and by mail to desk; a
// proxy before each of the servers misbehaves as told. It starts with the first
// test that needs it and stops with the last test of the binary.
var posts struct {
	sync.Once
	*deliveryStack
	err error
}

type deliveryStack struct {
	*stack
	config devstack.VersitygwConfig
	server *devstack.Versitygw
	s3     *s3.Client // past the proxy; may do everything
	gate   *s3Gate
	mail   *mailbox
	relay  *mailRelay
}

const (
	s3Bucket = "exports-of-tests"
	s3Prefix = "finobs/"
	s3Access = "finobs-test"
	s3Secret = "finobs-test-secret"
)

// deliveries returns the stack, in which nothing misbehaves.
func deliveries(t *testing.T) *deliveryStack {
	t.Helper()
	posts.Do(func() {
		posts.deliveryStack, posts.err = startDeliveries(filepath.Join(filepath.Dir(bin), "deliveries"))
	})
	if posts.err != nil {
		t.Fatal(posts.err)
	}
	d := posts.deliveryStack
	d.gate.misbehave(nil)
	d.relay.set(relayAll)
	t.Cleanup(func() {
		d.gate.misbehave(nil)
		d.relay.set(relayAll)
		if t.Failed() {
			t.Log(waitsFor(d.temporal), lastWords(d.Dir))
		}
	})
	return d
}

func stopDeliveries() {
	d := posts.deliveryStack
	if d == nil {
		return
	}
	d.stop()
	for _, server := range []interface{ Stop() error }{d.server, d.mail} {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "e2e:", err)
		}
	}
	d.gate.Close()
	d.relay.l.Close()
}

func startDeliveries(dir string) (*deliveryStack, error) {
	s, err := newStack(dir)
	if err != nil {
		return nil, err
	}
	d := &deliveryStack{stack: s}
	ctx := context.Background()
	mailConfig := devstack.MailpitConfig{Log: s.Path("logs", "mailpit.log"), DB: s.Path("mails.db")}
	d.config = devstack.VersitygwConfig{Log: s.Path("logs", "versitygw.log"), Root: s.Path("buckets"), Versions: s.Path("versions"), Access: s3Access, Secret: s3Secret}
	for _, port := range []*int{&mailConfig.SMTPPort, &mailConfig.HTTPPort, &d.config.Port} {
		if *port, err = devstack.FreePort(0); err != nil {
			return nil, err
		}
	}
	if mailConfig.Bin, err = devstack.EnsureMailpit(ctx, "../.finobs/bin", os.Stderr); err != nil {
		return nil, err
	}
	if d.config.Bin, err = devstack.EnsureVersitygw(ctx, "../.finobs/bin", os.Stderr); err != nil {
		return nil, err
	}
	for _, folder := range []string{d.config.Root, d.config.Versions, s.Path("second")} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			return nil, err
		}
	}
	mailpit, err := devstack.StartMailpit(ctx, mailConfig)
	if err != nil {
		return nil, err
	}
	d.mail = &mailbox{mailpit}
	if d.server, err = devstack.StartVersitygw(ctx, d.config); err != nil {
		return nil, err
	}
	if d.relay, err = startRelay(mailpit.SMTPAddress()); err != nil {
		return nil, err
	}
	if d.gate, err = startS3Gate(d.server.URL()); err != nil {
		return nil, err
	}
	if err := d.makeBucket(ctx); err != nil {
		return nil, err
	}
	if err := d.configure(""); err != nil {
		return nil, err
	}
	return d, s.start()
}

// makeBucket makes a bucket that keeps versions.
func (d *deliveryStack) makeBucket(ctx context.Context) error {
	d.s3 = s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(d.server.URL()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s3Access, s3Secret, ""),
	})
	if _, err := d.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(s3Bucket)}); err != nil {
		return err
	}
	_, err := d.s3.PutBucketVersioning(ctx, &s3.PutBucketVersioningInput{
		Bucket: aws.String(s3Bucket), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	return err
}

// configure writes the destination file; moving is another destination yet.
func (d *deliveryStack) configure(moving string) error {
	text := fmt.Sprintf(`version: 1
default: archive
groups: {desk: [desk@desk.example, risk@desk.example]}
destinations:
  - name: archive
    file: {dir: archive}
  - name: second
    file: {dir: second}
  - name: bucket
    s3: {endpoint: %q, bucket: %s, prefix: %s, path_style: true, allow_private: true, access_key_file: s3-access, secret_key_file: s3-secret,
      part_size_mib: 5, timeout: 3s}
  - name: desk
    smtp: {host: 127.0.0.1, port: %d, tls: none, from: finobs@desk.example, group: desk}
`, d.gate.URL, s3Bucket, strings.TrimSuffix(s3Prefix, "/"), d.relay.listensAt())
	if moving != "" {
		text += fmt.Sprintf("  - name: moving\n    file: {dir: %q}\n", moving)
	}
	for name, content := range map[string]string{"places.yaml": text, "s3-access": s3Access, "s3-secret": s3Secret} {
		if err := os.WriteFile(d.Path(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	d.Settings()["FINOBS_DESTINATIONS"] = d.Path("places.yaml")
	return nil
}

// to asks for an export to a destination and waits until people can decide on it.
func (d *deliveryStack) to(t *testing.T, destination, path string) exportCase {
	t.Helper()
	return d.asksFor(t, path+"&destination="+destination)
}

// approved asks for an export to a destination, and bob approves it.
func (d *deliveryStack) approved(t *testing.T, destination, path string) exportCase {
	t.Helper()
	e := d.to(t, destination, path)
	e.approve(t)
	return e
}

func (e exportCase) approve(t *testing.T) {
	t.Helper()
	if r := e.decide(t, "bob", "approve"); r.Status/100 != 2 {
		t.Fatalf("answered %d: %s", r.Status, r.Body)
	}
}

// row is an attempt at a delivery.
type row struct {
	ID          int64           `json:"delivery_id"`
	Destination string          `json:"destination"`
	Attempt     int             `json:"attempt"`
	Status      string          `json:"status"`
	Detail      string          `json:"detail"`
	Receipt     json.RawMessage `json:"receipt"`
	RequestedBy string          `json:"requested_sub"`
	ApprovalID  int64           `json:"approval_id"`
	WorkflowID  string          `json:"workflow_id"`
	Verdict     string          `json:"verification_status"`
	Code        string          `json:"verification_code"`
}

// rows lists the attempts at an export's deliveries, in their order.
func (d *deliveryStack) rows(t *testing.T, id string) (rows []row) {
	t.Helper()
	var text string
	scan(t, d.stack, &text, `SELECT coalesce(json_agg(d ORDER BY delivery_id), '[]') FROM finobs.export_delivery d WHERE export_id = $1::bigint`, id)
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

// statuses are those of an export's attempts, in their order.
func (d *deliveryStack) statuses(t *testing.T, id string) string {
	t.Helper()
	var all []string
	for _, r := range d.rows(t, id) {
		all = append(all, r.Destination+" "+r.Status)
	}
	return strings.Join(all, ", ")
}

func (r row) receipt(t *testing.T) (out delivery.Receipt) {
	t.Helper()
	if err := json.Unmarshal(r.Receipt, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// verify has eve verify an export, and returns the verdict and that on the newest
// delivery.
func (d *deliveryStack) verify(t *testing.T, id string) (verdict string, last row) {
	t.Helper()
	started := d.call(t, "eve", "POST", "/exports/"+id+"/verify", "")
	if started.Status/100 != 2 {
		t.Fatalf("answered %d: %s", started.Status, started.Body)
	}
	check := started.str("verification_id")
	eventually(t, "the verification is done", func() bool {
		return started.str("status") == "done" || d.call(t, "eve", "GET", "/exports/batch_verify/"+check, "").str("status") == "done"
	})
	rows := d.rows(t, id)
	return d.meta(t, id).VerificationStatus, rows[len(rows)-1]
}

// again has alice deliver an export again, once per key, and waits for the end.
func (d *deliveryStack) again(t *testing.T, id, key string) (r reply) {
	t.Helper()
	eventually(t, "export "+id+" has been delivered again", func() bool {
		r = d.call(t, "alice", "POST", "/exports/"+id+"/redeliver", "", "Idempotency-Key", key)
		return r.Status != http.StatusAccepted
	})
	return r
}

// fromBucket fetches the objects that a receipt names, into a folder.
func (d *deliveryStack) fromBucket(t *testing.T, r delivery.Receipt) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, o := range r.Objects {
		got, err := d.s3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(s3Bucket), Key: aws.String(o.Key), VersionId: aws.String(o.VersionID)})
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, o.Name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// versions counts the versions of each object of an export in the bucket.
func (d *deliveryStack) versions(t *testing.T, id string) map[string]int {
	t.Helper()
	out, err := d.s3.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(s3Bucket)})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, o := range out.Versions {
		if strings.Contains(*o.Key, "/"+id+"/") {
			found[filepath.Base(*o.Key)]++
		}
	}
	return found
}

// uploads lists the multipart uploads that were begun and not ended.
func (d *deliveryStack) uploads(t *testing.T) (keys []string) {
	t.Helper()
	out, err := d.s3.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String(s3Bucket)})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out.Uploads {
		keys = append(keys, *o.Key)
	}
	return keys
}

// accepted has finaudit verify a bundle from files alone.
func (d *deliveryStack) accepted(t *testing.T, bundle string) {
	t.Helper()
	if code, said := d.auditBundle(t, bundle); code != 0 {
		t.Errorf("finaudit: exit code %d\n%s", code, said)
	}
}

// mails lists the mails that carry an export, the newest first.
func (d *deliveryStack) mails(t *testing.T, id string) (out []devstack.MailpitMessage) {
	t.Helper()
	all, err := d.mail.Messages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if strings.HasPrefix(m.MessageID, "export-"+id+"-") {
			out = append(out, m)
		}
	}
	return out
}

// fromMail saves what is attached to a mail into a folder.
func (d *deliveryStack) fromMail(t *testing.T, m devstack.MailpitMessage) (dir string) {
	t.Helper()
	raw, err := d.mail.Raw(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	letter, err := mail.ReadMessage(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := mime.ParseMediaType(letter.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for parts := multipart.NewReader(letter.Body, params["boundary"]); ; {
		part, err := parts.NextPart()
		if err == io.EOF { //nolint:errorlint // the reader returns io.EOF itself
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		if part.FileName() == "" {
			continue
		}
		content, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, part))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(part.FileName())), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// tidy wants nothing in the exports' own store but the folders of exports with
// complete files.
func (d *deliveryStack) tidy(t *testing.T) { d.tidyIn(t, d.Path("artefacts")) }

func (d *deliveryStack) tidyIn(t *testing.T, folder string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(e.Name(), ".") {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// s3Fault answers a request in place of the server, or does nothing and reports
// false.
type s3Fault func(w http.ResponseWriter, r *http.Request) bool

// s3Gate stands before an S3 server and lets requests through, unless a fault
// takes them.
type s3Gate struct {
	*httptest.Server
	through *httputil.ReverseProxy

	mu    sync.Mutex
	fault s3Fault
}

func startS3Gate(server string) (*s3Gate, error) {
	to, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	g := &s3Gate{}
	g.through = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // what the server does to a connection, the gate does
		},
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		f := g.fault
		g.mu.Unlock()
		if f == nil || !f(w, r) {
			g.through.ServeHTTP(w, r)
		}
	}))
	return g, nil
}

func (g *s3Gate) misbehave(f s3Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fault = f
}

// hang has the requests that match hang. The channel tells of the first.
func (g *s3Gate) hang(match func(*http.Request) bool) <-chan bool {
	hung := make(chan bool, 1)
	g.misbehave(func(w http.ResponseWriter, r *http.Request) bool {
		if !match(r) {
			return false
		}
		select {
		case hung <- true:
		default:
		}
		return s3Hangs(w, r)
	})
	return hung
}

// s3Says answers an error as S3 does.
func s3Says(w http.ResponseWriter, r *http.Request, status int, code string) bool {
	_, _ = io.Copy(io.Discard, r.Body) // or the connection may be reset before the answer is read
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>As told.</Message></Error>", code)
	return true
}

// s3Hangs answers nothing, until the client gives up.
func s3Hangs(_ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body) // only then does the gate see who leaves
	<-r.Context().Done()
	return true
}

// What a mailRelay does with mails.
const (
	relayAll     = "all"
	relayMute    = "mute"    // the mail arrives, the answer to it is lost
	relaySwallow = "swallow" // the connection ends when the mail has been said, and it goes nowhere
)

// mailRelay stands before a mail server.
type mailRelay struct {
	l  net.Listener
	to string

	mu   sync.Mutex
	mode string
	port int // of another server that mails go to; 0: none
}

func startRelay(to string) (*mailRelay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &mailRelay{l: l, to: to}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go r.serve(client)
		}
	}()
	return r, nil
}

func (r *mailRelay) listensAt() int { return r.l.Addr().(*net.TCPAddr).Port }

func (r *mailRelay) set(mode string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mode = mode
}

// send has mails go to another server on this machine; 0: as usual.
func (r *mailRelay) send(port int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.port = port
}

func (r *mailRelay) server() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.port == 0 {
		return r.to
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))
}

func (r *mailRelay) is() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mode
}

func (r *mailRelay) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.server())
	if err != nil {
		return
	}
	defer server.Close()
	go r.listen(client, server)
	inMail := false
	for answers := bufio.NewReader(server); ; {
		line, err := answers.ReadString('\n')
		if err != nil || inMail && r.is() == relayMute {
			return
		}
		inMail = strings.HasPrefix(line, "354")
		if _, err := io.WriteString(client, line); err != nil {
			return
		}
	}
}

// listen carries what the client says to the server.
func (r *mailRelay) listen(client, server net.Conn) {
	for lines := bufio.NewReader(client); ; {
		line, err := lines.ReadString('\n')
		if line == ".\r\n" && r.is() == relaySwallow {
			client.Close()
			server.Close()
			return
		}
		if _, writeErr := io.WriteString(server, line); err != nil || writeErr != nil {
			return
		}
	}
}

// untilRows waits until an export's attempts are these and have ended.
func (d *deliveryStack) untilRows(t *testing.T, id, wanted string) {
	t.Helper()
	eventually(t, "export "+id+" has the attempts: "+wanted, func() bool { return d.statuses(t, id) == wanted })
}

func str(n int64) string { return strconv.FormatInt(n, 10) }

// payload reads the first argument of a workflow.
func (d *deliveryStack) payload(from *commonpb.Payloads, into any) error {
	return converter.GetDefaultDataConverter().FromPayload(from.GetPayloads()[0], into)
}
