package delivery_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"finobs/internal/delivery"
)

// secrets is a folder of the files that the tests' destinations name.
func secrets(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"s3-access-key", "s3-secret-key", "smtp-password"} {
		write(t, filepath.Join(dir, name), "0123456789abcdef\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "open"), []byte("0123456789abcdef\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// documented is the example of docs/destinations.md.
func documented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/destinations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatal("docs/destinations.md has no example")
	}
	return example
}

func TestTheDocumentedExampleLoads(t *testing.T) {
	d, err := delivery.Load(strings.NewReader(documented(t)), secrets(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Names(); !slices.Equal(got, []string{"archive", "bucket", "desk"}) || d.Default() != "archive" {
		t.Errorf("got %q, default %q", got, d.Default())
	}
	for name, kind := range map[string]string{"archive": "file", "bucket": "s3", "desk": "smtp"} {
		one, ok := d.Get(name)
		if !ok || one.Describe().Type != kind {
			t.Errorf("%s is %v", name, one)
		}
	}
}

func TestNoDestinations(t *testing.T) {
	for _, d := range []*delivery.Destinations{nil, {}} {
		if _, ok := d.Get("archive"); ok || len(d.Names()) != 0 || d.Default() != "" {
			t.Errorf("got %q", d.Names())
		}
	}
}

func TestTheDescriptionIsWhatAnApprovalIsFor(t *testing.T) {
	dir := secrets(t)
	describe := func(name, from, to string) delivery.Description {
		t.Helper()
		text := documented(t)
		changed := strings.Replace(text, from, to, 1)
		if changed == text && from != to {
			t.Fatalf("the example does not hold %q", from)
		}
		d, err := delivery.Load(strings.NewReader(changed), dir)
		if err != nil {
			t.Fatal(err)
		}
		one, _ := d.Get(name)
		return one.Describe()
	}
	for _, c := range []struct {
		name, from, to string
		same           bool
	}{
		{"archive", "", "", true},
		{"archive", "/srv/finobs/exports", "/srv/finobs/other", false},
		{"bucket", "finobs/prod", "finobs/test", false},
		{"bucket", "example-exports", "other-exports", false},
		{"bucket", "https://s3.eu", "https://s4.eu", false},
		{"bucket", "days: 30", "days: 31", false},
		{"bucket", "prefix:", "ca_file: ''\n      prefix:", true},
		{"bucket", "prefix:", "timeout: 5m\n      part_size_mib: 20\n      prefix:", true},
		{"bucket", "prefix:", "checksum: when_supported\n      prefix:", true},
		{"desk", "risk@example.com", "eve@example.com", false},
		{"desk", "mail.example.com", "mail.example.org", false},
		{"desk", "max_mib: 10", "max_mib: 10\n      tls: mandatory\n      attach: true", true},
		{"desk", "max_mib: 10", "max_mib: 10\n      attach: false", false},
		{"desk", "finobs@example.com", "f@example.com", false},
	} {
		before, after := describe(c.name, "", ""), describe(c.name, c.from, c.to)
		if (before.Digest() == after.Digest()) != c.same || len(before.Digest()) != 64 {
			t.Errorf("%s with %q: %s is %s\n%s", c.name, c.to, before.Digest(), after.Digest(), after.Settings)
		}
		if strings.Contains(after.Settings, "0123456789abcdef") {
			t.Errorf("%s shows a secret", c.name)
		}
	}
	// Another kind with the same words is another destination.
	a, b := delivery.Description{Type: "file", Settings: "x"}, delivery.Description{Type: "s3", Settings: "x"}
	if a.Digest() == b.Digest() {
		t.Error("the type does not matter")
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := secrets(t)
	one := func(entry string) string {
		return "version: 1\ngroups: {g: [a@example.com]}\ndestinations:\n  - {name: d, " + entry + "}"
	}
	bucket := func(more string) string {
		return one("s3: {endpoint: \"https://s3.example.com\", bucket: exports, access_key_file: s3-access-key, secret_key_file: s3-secret-key, " + more + "}")
	}
	mail := func(more string) string {
		return one("smtp: {host: h, port: 25, from: f@example.com, group: g, " + more + "}")
	}
	group := func(members string) string { return "version: 1\ngroups: {g: [" + members + "]}" }
	for name, c := range map[string]struct {
		file string
		says []string
	}{
		"empty":             {"", []string{"destination file", "empty"}},
		"version":           {"version: 2", []string{"version 2"}},
		"unknown field":     {bucket("colour: red"), []string{"line 4", "colour"}},
		"unknown mail":      {mail("to: [eve@example.com]"), []string{"line 4", "to"}},
		"bad name":          {"version: 1\ndestinations: [{name: Archive}]", []string{"destination 1", `"Archive"`}},
		"reserved":          {"version: 1\ndestinations: [{name: download, file: {dir: /x}}]", []string{`"download"`, "reserved"}},
		"taken":             {"version: 1\ndestinations: [{name: a, file: {dir: /x}}, {name: a, file: {dir: /y}}]", []string{"destination 2", "taken"}},
		"none":              {one(""), []string{`"d"`, "none of file, s3 and smtp"}},
		"two":               {one("file: {dir: /x}, smtp: {}"), []string{`"d"`, "more than one"}},
		"default":           {"version: 1\ndefault: b\ndestinations: [{name: a, file: {dir: /x}}]", []string{"default", `"b"`, "one of a"}},
		"download default":  {"version: 1\ndefault: download", []string{"default"}},
		"no folder":         {one("file: {}"), []string{`"d"`, "file.dir"}},
		"group name":        {"version: 1\ngroups: {Ops: [a@example.com]}", []string{"groups", `"Ops"`}},
		"empty group":       {group(""), []string{"groups.g", "0 addresses"}},
		"large group":       {group(strings.Repeat("a@example.com, ", 101)), []string{"groups.g", "101"}},
		"twice":             {group("a@example.com, A@example.com"), []string{"groups.g[1]", "twice"}},
		"quoted address":    {group(`'"a b"@example.com'`), []string{"groups.g[0]", "name@example.com"}},
		"address with CRLF": {group(`"a@example.com\r\nRCPT TO:<eve@example.com>"`), []string{"groups.g[0]"}},
		"address with NUL":  {group(`"a\0@example.com"`), []string{"groups.g[0]"}},
		"address in ä":      {group(`"a@exämple.com"`), []string{"groups.g[0]"}},
		"no group":          {one("smtp: {host: h, port: 25, from: f@example.com}"), []string{`"d"`, "smtp.group"}},
		"other group":       {one("smtp: {host: h, port: 25, from: f@example.com, group: x}"), []string{"smtp.group", `"x"`}},
		"no host":           {one("smtp: {port: 25, group: g}"), []string{"smtp.host"}},
		"from":              {one("smtp: {host: h, port: 25, from: \"F <f@example.com>\", group: g}"), []string{"smtp.from"}},
		"opportunistic":     {mail("tls: opportunistic"), []string{"smtp.tls"}},
		"clear password":    {mail("tls: none, username: u, password_file: smtp-password"), []string{"tls: mandatory"}},
		"readable password": {mail("username: u, password_file: open"), []string{"smtp.password_file", "chmod 600"}},
		"large mail":        {mail("max_mib: 101"), []string{"smtp.max_mib 101"}},
		"negative mail":     {mail("max_mib: -1"), []string{"smtp.max_mib -1"}},
		"no endpoint":       {one("s3: {bucket: exports}"), []string{"s3.endpoint"}},
		"http":              {one("s3: {endpoint: \"http://s3.example.com\", bucket: exports}"), []string{"s3.endpoint", "allow_private"}},
		"keys in URL":       {one("s3: {endpoint: \"https://key:hunter2@s3.example.com\", bucket: exports}"), []string{"s3.endpoint", "s3.secret_key_file"}},
		"path in URL":       {one("s3: {endpoint: \"https://s3.example.com/exports\", bucket: exports}"), []string{"s3.endpoint", "s3.bucket"}},
		"bucket":            {one("s3: {endpoint: \"https://s3.example.com\", bucket: Ex/ports}"), []string{"s3.bucket"}},
		"region":            {bucket("region: \"eu central\""), []string{"s3.region"}},
		"prefix up":         {bucket("prefix: a/../b"), []string{"s3.prefix"}},
		"prefix slash":      {bucket("prefix: /a"), []string{"s3.prefix"}},
		"prefix end":        {bucket("prefix: a/"), []string{"s3.prefix"}},
		"checksum":          {bucket("checksum: never"), []string{"s3.checksum", "when_required"}},
		"small parts":       {bucket("part_size_mib: 4"), []string{"s3.part_size_mib 4"}},
		"long timeout":      {bucket("timeout: 1h"), []string{"s3.timeout"}},
		"lock mode":         {bucket("object_lock: {mode: strict, days: 1}"), []string{"s3.object_lock.mode"}},
		"lock days":         {bucket("object_lock: {mode: governance}"), []string{"s3.object_lock.days"}},
		"no keys":           {one("s3: {endpoint: \"https://s3.example.com\", bucket: exports, access_key_file: s3-access-key}"), []string{"s3.secret_key_file", "environment"}},
		"readable key":      {one("s3: {endpoint: \"https://s3.example.com\", bucket: exports, access_key_file: s3-access-key, secret_key_file: open}"), []string{"s3.secret_key_file", "chmod 600"}},
		"missing key":       {one("s3: {endpoint: \"https://s3.example.com\", bucket: exports, access_key_file: none, secret_key_file: open}"), []string{"s3.access_key_file", "none"}},
		"not a CA":          {bucket("ca_file: open"), []string{"s3.ca_file", "no certificate"}},
	} {
		_, err := delivery.Load(strings.NewReader(c.file), dir)
		if err == nil {
			t.Errorf("%s: loaded", name)
			continue
		}
		for _, part := range c.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", name, err, part)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q shows a secret", name, err)
		}
	}
}
