package e2e_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"finobs/internal/devstack"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/compose-spec/compose-go/v2/types"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
)

// outside runs the services of finobs of the compose file as processes, without
// containers: their commands and their environments, with its names of hosts and
// folders replaced by those of this machine.
type outside struct {
	t       *testing.T
	project *types.Project
	secrets string
	replace *strings.Replacer
	env     []string
}

func (o *outside) environment(service string) []string {
	o.t.Helper()
	var out []string
	for name, value := range environmentOf(o.t, o.project.Services[service], o.secrets) {
		if !strings.HasPrefix(name, "OTEL_") { // no collector runs here
			out = append(out, name+"="+o.replace.Replace(value))
		}
	}
	return append(out, o.env...)
}

func (o *outside) command(words []string) *exec.Cmd {
	args := slices.Clone(words)
	for i := range args {
		args[i] = o.replace.Replace(args[i])
	}
	if args[0] == "/usr/local/bin/finobs" {
		args = args[1:]
	}
	return exec.Command(filepath.Join(bin, "finobs"), args...)
}

// job runs a service to its end.
func (o *outside) job(service string, more ...string) string {
	o.t.Helper()
	s := o.project.Services[service]
	words := slices.Concat(s.Entrypoint, s.Command)
	if len(more) > 0 {
		words = slices.Concat(s.Entrypoint, more)
	}
	cmd := o.command(words)
	cmd.Env = append(os.Environ(), o.environment(service)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("%s: %v\n%s", service, err, out)
	}
	return string(out)
}

// healthy asks as the container engine would.
func (o *outside) healthy(service string) error {
	s := o.project.Services[service]
	cmd := o.command(s.HealthCheck.Test[1:])
	cmd.Env = append(os.Environ(), o.environment(service)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// No container engine runs in our tests. What there is of finobs in the compose file
// does run: keys, roles with the passwords that were made up, schema, API, worker and
// sequencer with exactly the compose file's settings, their health checks, a token.
func TestComposeServicesOfFinobsRun(t *testing.T) {
	t.Parallel()
	dir := stateDir(t)
	o := &outside{t: t, project: composeProject(t), secrets: composeSecrets(t)}
	for _, folder := range []string{"keys", "state", "etc", "logs", "buckets"} {
		if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"spool", "artefacts", "archive", "log"} {
		if err := os.Mkdir(filepath.Join(dir, "state", folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	port := freePort(t)
	db := composeDatabase(t, dir, o.secrets)
	mail, store := composeServers(t, dir, o.secrets)
	temporal := world.Settings()["TEMPORAL_ADDRESS"]
	composeNamespace(t, temporal)
	o.replace = strings.NewReplacer(
		"postgres:5432", db, "temporal:7233", temporal, "http://s3:7070", store, "host: mail, port: 1025", "host: 127.0.0.1, port: "+mail,
		"/keys", filepath.Join(dir, "keys"), "/var/lib/finobs", filepath.Join(dir, "state"), "/etc/finobs", filepath.Join(dir, "etc"),
		"0.0.0.0:8080", fmt.Sprintf("127.0.0.1:%d", port), "0.0.0.0:9464", "",
	)
	files, err := filepath.Glob("../deploy/compose/finobs/*.yaml")
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		keep(t, filepath.Join(dir, "etc", filepath.Base(f)), []byte(o.replace.Replace(string(text))))
	}
	o.env = []string{"TEMPORAL_NAMESPACE=compose"}

	o.job("keys")
	o.job("bootstrap")
	o.job("migrate")
	o.job("migrate") // as at the second start
	token := strings.TrimSpace(o.job("token", "--sub", "alice", "--role", "analyst", "--desk", "EQ"))

	for _, service := range []string{"api", "worker", "sequencer"} {
		if err := o.healthy(service); err == nil {
			t.Errorf("%s is healthy before it is there", service)
		}
		o.launch(dir, service)
	}
	for _, service := range []string{"api", "worker", "sequencer"} {
		eventually(t, service+" is healthy", func() bool { return o.healthy(service) == nil })
	}
	var got shown
	eventually(t, "everything is well", func() bool {
		r, err := send(t, token, "GET", fmt.Sprintf("http://127.0.0.1:%d/api/systems", port), "")
		return err == nil && r.Status == http.StatusOK && json.Unmarshal(r.Body, &got) == nil && got.State == "ok" &&
			got.of("destination:bucket").State == "ok" && got.of("destination:desk").State == "ok" && got.of("channel:default").State == "ok" &&
			got.of("destination:archive").State == "ok"
	})
}

// launch runs a service until the test ends.
func (o *outside) launch(dir, service string) {
	o.t.Helper()
	cmd := o.command(o.project.Services[service].Command)
	cmd.Env = append(os.Environ(), o.environment(service)...)
	log, err := os.Create(filepath.Join(dir, "logs", service+".log"))
	if err != nil {
		o.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may be dead already
		cmd.Wait()         //nolint:errcheck // it was killed
		log.Close()
		if o.t.Failed() {
			text, _ := os.ReadFile(log.Name())
			o.t.Logf("%s said:\n%s", service, text)
		}
	})
}

// composeDatabase starts a Postgres whose administrator is the compose file's.
func composeDatabase(t *testing.T, dir, secrets string) (address string) {
	t.Helper()
	bin, err := devstack.EnsurePostgres(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	p, err := devstack.StartPostgres(context.Background(), devstack.PostgresConfig{
		Bin: bin, Data: filepath.Join(dir, "database"), Port: port, Log: filepath.Join(dir, "database.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() }) //nolint:errcheck // the test is over
	admin, err := sql.Open("postgres", p.AdminURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	// As the image's entrypoint does.
	made := secretsIn(t, filepath.Join(secrets, "postgres.env"))
	for _, statement := range []string{
		"CREATE ROLE " + made["POSTGRES_USER"] + " SUPERUSER LOGIN PASSWORD '" + made["POSTGRES_PASSWORD"] + "'",
		"CREATE DATABASE " + made["POSTGRES_DB"] + " OWNER " + made["POSTGRES_USER"],
	} {
		if _, err := admin.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// composeServers starts what exports and notices go to.
func composeServers(t *testing.T, dir, secrets string) (mailPort, s3URL string) {
	t.Helper()
	values := secretsIn(t, filepath.Join(secrets, "s3.env"))
	mailpit, mailErr := devstack.EnsureMailpit(t.Context(), "../.finobs/bin", os.Stderr)
	versity, s3Err := devstack.EnsureVersitygw(t.Context(), "../.finobs/bin", os.Stderr)
	if err := errors.Join(mailErr, s3Err); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	mail, err := devstack.StartMailpit(context.Background(), devstack.MailpitConfig{Bin: mailpit, SMTPPort: port, HTTPPort: freePort(t), Log: filepath.Join(dir, "mail.log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mail.Stop() }) //nolint:errcheck // the test is over
	access, secret := values["ROOT_ACCESS_KEY_ID"], values["ROOT_SECRET_ACCESS_KEY"]
	server, err := devstack.StartVersitygw(context.Background(), devstack.VersitygwConfig{
		Bin: versity, Port: freePort(t), Log: filepath.Join(dir, "s3.log"), Root: filepath.Join(dir, "buckets"), Access: access, Secret: secret,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop() }) //nolint:errcheck // the test is over
	client := s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(access, secret, ""),
	})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("finobs-exports")}); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(port), server.URL()
}

// composeNamespace makes a namespace, so that the workers of other tests take none of
// its work.
func composeNamespace(t *testing.T, address string) {
	t.Helper()
	c, err := client.NewNamespaceClient(client.Options{HostPort: address})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.Register(t.Context(), &workflowservice.RegisterNamespaceRequest{Namespace: "compose", WorkflowExecutionRetentionPeriod: durationpb.New(30 * 24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
}
