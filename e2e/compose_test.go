package e2e_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"finobs/internal/approval"
	"finobs/internal/config"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// composeProject is docker-compose.temporal.yml as Compose reads it, all services
// among it. It does not load unless its syntax and its references are right.
func composeProject(t *testing.T) *types.Project {
	t.Helper()
	file, err := filepath.Abs("../docker-compose.temporal.yml")
	if err != nil {
		t.Fatal(err)
	}
	options, err := cli.NewProjectOptions([]string{file}, cli.WithProfiles([]string{"*"}), cli.WithoutEnvironmentResolution, cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// ofFinobs reports whether a service runs finobs.
func ofFinobs(s types.ServiceConfig) bool { return s.Image == "finobs:local" }

// isJob reports whether a service runs to its end.
func isJob(s types.ServiceConfig) bool { return s.Restart == "no" }

var exactVersion = regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-[a-z0-9.-]+)?$`)

func TestComposeServicesAreHardened(t *testing.T) {
	// Whose images run as somebody without privileges by themselves, and whose
	// entrypoints write into their own images: the compose file says where that is known
	// from.
	notRoot := []string{"temporal-schema", "temporal", "temporal-namespace", "temporal-ui", "otel", "jaeger", "prometheus", "grafana"}
	writes := []string{"temporal", "temporal-ui"}
	for name, s := range composeProject(t).Services {
		own := ofFinobs(s) || s.Build != nil && s.Build.Target == "s3"
		if s.User == "" && !own && !slices.Contains(notRoot, name) || strings.HasPrefix(s.User, "0") || s.User == "root" {
			t.Errorf("%s may run as root", name)
		}
		if s.ReadOnly == slices.Contains(writes, name) {
			t.Errorf("%s: read_only is %v", name, s.ReadOnly)
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s keeps capabilities, or may gain some", name)
		}
		if len(s.CapAdd) > 0 && name != "proxy" {
			t.Errorf("%s gets %v", name, s.CapAdd)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to others", name, p.Published)
			}
		}
		for variable := range s.Environment {
			if regexp.MustCompile(`PASSW|_PWD|SECRET|ACCESS_KEY|TOKEN`).MatchString(variable) {
				t.Errorf("%s: %s stands in the compose file", name, variable)
			}
		}
	}
}

func TestComposeImagesArePinned(t *testing.T) {
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range composeProject(t).Services {
		switch {
		case s.Build == nil && !exactVersion.MatchString(s.Image):
			t.Errorf("%s: image %s is not pinned", name, s.Image)
		case s.Build != nil && !regexp.MustCompile(`(?m)^FROM \S+ AS `+s.Build.Target+`$`).Match(dockerfile):
			t.Errorf("%s: the Dockerfile has no stage %s", name, s.Build.Target)
		case s.Build != nil && s.PullPolicy != types.PullPolicyBuild:
			t.Errorf("%s: image %s might be pulled from somewhere", name, s.Image)
		}
	}
	for _, from := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+) AS`).FindAllStringSubmatch(string(dockerfile), -1) {
		if from[1] != "scratch" && !exactVersion.MatchString(from[1]) {
			t.Errorf("the Dockerfile builds from %s, which is not pinned", from[1])
		}
	}
}

func TestComposeServicesWaitForWhatIsWell(t *testing.T) {
	project := composeProject(t)
	for name, s := range project.Services {
		if isJob(s) == (s.HealthCheck != nil) {
			t.Errorf("%s: a job has no health check, and everything else has one", name)
		}
		if s.HealthCheck != nil && (len(s.HealthCheck.Test) < 2 || s.HealthCheck.Interval == nil || s.HealthCheck.StartPeriod == nil) {
			t.Errorf("%s: health check %+v", name, s.HealthCheck)
		}
		for on, how := range s.DependsOn {
			wanted := types.ServiceConditionHealthy
			if isJob(project.Services[on]) {
				wanted = types.ServiceConditionCompletedSuccessfully
			}
			if how.Condition != wanted {
				t.Errorf("%s waits for %s to be %s, not %s", name, on, how.Condition, wanted)
			}
		}
	}
}

func TestComposeMountsAreThere(t *testing.T) {
	project := composeProject(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				used[v.Source] = true
				continue
			}
			path, err := filepath.Rel(root, v.Source)
			if err != nil || strings.HasPrefix(path, "..") || !v.ReadOnly {
				t.Errorf("%s: %s is mounted from outside, or to write: %v", name, v.Source, err)
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name := range project.Volumes {
		if !used[name] {
			t.Errorf("nobody uses the volume %s", name)
		}
	}
	// A private key is seen by who makes it and by the one process that it is for.
	for volume, owners := range map[string][]string{
		"keys-decision": {"api", "keys"}, "keys-identity": {"keys", "token"}, "keys-log": {"keys", "sequencer"}, "keys-manifest": {"keys", "worker"},
		"keys-session": {"api", "keys"}, "keys-s3": {"keys", "worker"},
	} {
		var seen []string
		for name, s := range project.Services {
			if slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Source == volume }) {
				seen = append(seen, name)
			}
		}
		if slices.Sort(seen); !slices.Equal(seen, owners) {
			t.Errorf("%s is seen by %v, not by %v", volume, seen, owners)
		}
	}
}

// Every command, flag and argument of a service of finobs, and of a health check, is
// one that the program knows.
func TestComposeCommandsAreThoseOfFinobs(t *testing.T) {
	for name, s := range composeProject(t).Services {
		var commands [][]string
		if ofFinobs(s) {
			commands = append(commands, slices.Concat(s.Entrypoint, s.Command))
		}
		if s.HealthCheck != nil && s.HealthCheck.Test[1] == "/usr/local/bin/finobs" {
			commands = append(commands, s.HealthCheck.Test[1:])
		}
		for _, words := range commands {
			knownCommand(t, name, words)
		}
	}
}

func knownCommand(t *testing.T, service string, words []string) {
	t.Helper()
	var path, flags []string
	for _, w := range words {
		switch {
		case w == "/usr/local/bin/finobs" || w == "--help":
		case strings.HasPrefix(w, "--"):
			flag, _, _ := strings.Cut(w, "=")
			flags = append(flags, flag)
		case !strings.Contains(w, "/"): // an argument such as a URL is no command
			path = append(path, w)
		}
	}
	out, err := exec.Command(filepath.Join(bin, "finobs"), append(slices.Clone(path), "--help")...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "finobs "+strings.Join(path, " ")) {
		t.Errorf("%s: finobs %s: %v\n%s", service, strings.Join(path, " "), err, out)
	}
	for _, flag := range flags {
		if !regexp.MustCompile(`(?m)^\s+(-\w, )?` + flag + `\b`).Match(out) {
			t.Errorf("%s: finobs %s has no flag %s", service, strings.Join(path, " "), flag)
		}
	}
}

// settingsOf lists the variables that a process reads.
func settingsOf(c reflect.Type) (names []string) {
	for f := range c.Fields() {
		if f.Anonymous {
			names = append(names, settingsOf(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		names = append(names, name)
	}
	return names
}

// Every setting of a process of finobs is one that it reads, and it gets along with
// all of them.
func TestComposeSettingsAreThoseOfFinobs(t *testing.T) {
	secrets := composeSecrets(t)
	project := composeProject(t)
	parse := map[string]func(map[string]string) (reflect.Type, error){
		"api":       settingsParser[config.API],
		"worker":    settingsParser[config.Worker],
		"sequencer": settingsParser[config.Sequencer],
		"migrate":   settingsParser[config.Migrate],
	}
	for name, s := range project.Services {
		if !ofFinobs(s) {
			continue
		}
		read, known := parse[name]
		if !known {
			if len(s.Environment) > 0 {
				t.Errorf("%s has settings: %v", name, s.Environment)
			}
			continue
		}
		values := environmentOf(t, s, secrets)
		of, err := read(values)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for variable, value := range values {
			known := settingsOf(of)
			if !strings.HasPrefix(variable, "OTEL_") && !slices.Contains(known, variable) {
				t.Errorf("%s does not read %s", name, variable)
			}
			if strings.HasPrefix(value, "/") && !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return strings.HasPrefix(value, v.Target) }) {
				t.Errorf("%s: %s is %s, which is in no volume", name, variable, value)
			}
		}
		delete(parse, name)
	}
	if len(parse) != 0 {
		t.Errorf("not in the compose file: %v", parse)
	}
}

func settingsParser[T any](values map[string]string) (reflect.Type, error) {
	_, err := config.Parse[T](values)
	return reflect.TypeFor[T](), err
}

// composeSecrets makes up the passwords as make up-compose does.
func composeSecrets(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "secrets")
	if out, code := finobs(t, "keys", "env", "--dir", dir); code != 0 {
		t.Fatal(out)
	}
	return dir
}

// secretsIn reads a file of variables.
func secretsIn(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		values[name] = value
	}
	return values
}

// environmentOf are the variables of a service, those of its files among them.
func environmentOf(t *testing.T, s types.ServiceConfig, secrets string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for _, f := range s.EnvFiles {
		if filepath.Base(filepath.Dir(f.Path)) != "secrets" {
			t.Errorf("%s reads %s", s.Name, f.Path)
		}
		maps.Copy(values, secretsIn(t, filepath.Join(secrets, filepath.Base(f.Path))))
	}
	for name, value := range s.Environment {
		if value == nil {
			t.Errorf("%s takes %s from whoever starts it", s.Name, name)
			continue
		}
		values[name] = *value
	}
	return values
}

// The passwords are made once, each service gets its own alone, and who lost one of
// the files is told.
func TestSecretsOfComposeAreMadeOnce(t *testing.T) {
	dir := composeSecrets(t)
	read := func() map[string]string {
		files, err := filepath.Glob(filepath.Join(dir, "*.env"))
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v", f, info.Mode(), err)
			}
			out[filepath.Base(f)] = string(text)
		}
		return out
	}
	before := read()
	passwords := map[string][]string{}
	for name, text := range before {
		for _, p := range regexp.MustCompile(`finobs_\w+:([a-z2-7]{26})@`).FindAllStringSubmatch(text, -1) {
			passwords[p[1]] = append(passwords[p[1]], name)
		}
	}
	if len(passwords) != 5 || len(before) != 11 {
		t.Errorf("%d passwords of Postgres in %d files", len(passwords), len(before))
	}
	for _, files := range passwords {
		if len(files) > 2 || !slices.Contains(files, "bootstrap.env") {
			t.Errorf("a password stands in %v", files)
		}
	}
	if out, _ := finobs(t, "keys", "env", "--dir", dir); !strings.Contains(out, "already") || !reflect.DeepEqual(read(), before) {
		t.Errorf("the second time: %s", out)
	}
	if err := os.Remove(filepath.Join(dir, "api.env")); err != nil {
		t.Fatal(err)
	}
	if out, code := finobs(t, "keys", "env", "--dir", dir); code != 1 || !strings.Contains(out, "lacks api.env") {
		t.Errorf("with one file gone: exit code %d\n%s", code, out)
	}
}

// The Dockerfile copies what the programs are built from, the build sees it, and
// the shell scripts of the compose file are shell scripts.
func TestDockerfileCopiesWhatIsBuilt(t *testing.T) {
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	ignore, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]bool{}
	for _, line := range regexp.MustCompile(`(?m)^COPY (?:[^-].*)$`).FindAllString(string(dockerfile), -1) {
		words := strings.Fields(line)[1:]
		for _, source := range words[:len(words)-1] {
			source = strings.TrimSuffix(source, "/")
			copied[source] = true
			if _, err := os.Stat(filepath.Join("..", source)); err != nil {
				t.Errorf("COPY %s: %v", source, err)
			}
			if !strings.Contains("\n"+string(ignore), "\n!"+source+"\n") {
				t.Errorf(".dockerignore hides %s", source)
			}
		}
	}
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/finobs", "./cmd/finaudit")
	cmd.Dir = ".."
	deps, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(deps)) {
		if path, ours := strings.CutPrefix(strings.TrimSpace(dep), "finobs/"); ours {
			if top, _, _ := strings.Cut(path, "/"); !copied[top] {
				t.Errorf("the Dockerfile does not copy %s, which %s is in", top, path)
			}
		}
	}
	scripts, err := filepath.Glob("../deploy/compose/*/*.sh")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	for _, s := range scripts {
		if out, err := exec.Command("sh", "-n", s).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", s, err, out)
		}
	}
}

func TestRosterOfComposeLoads(t *testing.T) {
	text, err := os.ReadFile("../deploy/compose/finobs/roster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if roster, err := approval.LoadRoster(bytes.NewReader(text)); err != nil || len(roster) != 5 {
		t.Errorf("%d people, %v", len(roster), err)
	}
}
