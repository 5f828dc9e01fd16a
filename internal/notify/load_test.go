package notify_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"finobs/internal/notify"
)

const secret = "0123456789abcdef0123456789abcdef"

// folder holds the files that the tests' channels name.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"secret": 0o600, "group": 0o640, "all": 0o604, "read": 0o400} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"short": "abc\n", "empty": "\n", "large": strings.Repeat("x", 17000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func load(t *testing.T, dir, channels string) *notify.Channels {
	t.Helper()
	c, err := notify.Load(strings.NewReader("version: 1\nchannels:\n"+channels), dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoad(t *testing.T) {
	dir := folder(t)
	c := load(t, dir, `
  - name: ops
    webhook: {url: "https://example.com/hook", secret_file: read, timeout: 3s}
  - name: default
    smtp: {host: mail.example.com, port: 587, from: finobs@example.com, username: u, password_file: `+dir+`/secret, to: [desk@example.com]}
  - name: local
    webhook: {url: "http://127.0.0.1:8080/", secret_file: secret, allow_private: true}
`)
	if got := c.Names(); !slices.Equal(got, []string{"default", "local", "ops"}) {
		t.Errorf("got %v", got)
	}
	if _, ok := c.Get("ops"); !ok {
		t.Error("ops is missing")
	}
	if _, ok := c.Get("other"); ok {
		t.Error("other is there")
	}
}

func TestNoChannels(t *testing.T) {
	empty := load(t, t.TempDir(), "")
	for _, c := range []*notify.Channels{nil, {}, empty} {
		if _, ok := c.Get("default"); ok || len(c.Names()) != 0 {
			t.Errorf("got %v", c.Names())
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	dir := folder(t)
	mail := func(more string) string {
		return "version: 1\nchannels: [{name: default, smtp: {host: h, port: 25, from: f@example.com, " + more + "}}]"
	}
	hook := func(fields string) string {
		return "version: 1\nchannels: [{name: ops, webhook: {" + fields + "}}]"
	}
	for name, c := range map[string]struct {
		file string
		says []string
	}{
		"empty":              {"", []string{"empty"}},
		"version":            {"version: 2", []string{"version 2"}},
		"no version":         {"channels: []", []string{"version 0"}},
		"two documents":      {"version: 1\n---\nversion: 1", []string{"second document"}},
		"unknown field":      {mail("colour: red"), []string{"line 2", "colour"}},
		"unknown top field":  {"version: 1\nchannel: []", []string{"channel not found"}},
		"bad name":           {"version: 1\nchannels: [{name: Ops}]", []string{"channel 1", `name "Ops"`}},
		"long name":          {"version: 1\nchannels: [{name: " + strings.Repeat("a", 33) + "}]", []string{"name"}},
		"name with end":      {"version: 1\nchannels: [{name: \"ops\\n\"}]", []string{"name"}},
		"neither":            {"version: 1\nchannels: [{name: ops}]", []string{`"ops"`, "neither smtp nor webhook"}},
		"both":               {"version: 1\nchannels: [{name: ops, smtp: {}, webhook: {}}]", []string{`"ops"`, "two channels"}},
		"no host":            {"version: 1\nchannels: [{name: a, smtp: {port: 25}}]", []string{`"a"`, "smtp.host"}},
		"socket host":        {"version: 1\nchannels: [{name: a, smtp: {host: unix:///x, port: 25}}]", []string{`"a"`, "smtp.host"}},
		"no port":            {"version: 1\nchannels: [{name: a, smtp: {host: h}}]", []string{"smtp.port 0", "587"}},
		"large port":         {"version: 1\nchannels: [{name: a, smtp: {host: h, port: 70000}}]", []string{"smtp.port 70000"}},
		"no from":            {"version: 1\nchannels: [{name: a, smtp: {host: h, port: 25}}]", []string{"smtp.from"}},
		"opportunistic tls":  {mail("tls: opportunistic"), []string{"default", "smtp.tls", "mandatory", "none"}},
		"to with a name":     {mail(`to: [a@example.com, "B <b@example.com>"]`), []string{"smtp.to[1]"}},
		"user alone":         {mail("username: u"), []string{"smtp.password_file", "together"}},
		"password alone":     {mail("password_file: secret"), []string{"smtp.username", "together"}},
		"readable password":  {mail("username: u, password_file: group"), []string{"smtp.password_file", "0640", "chmod 600"}},
		"no password file":   {mail("username: u, password_file: none"), []string{"smtp.password_file", "none"}},
		"password in clear":  {mail("username: u, password_file: secret, tls: none"), []string{"smtp.username", "tls: mandatory"}},
		"long mail timeout":  {mail("timeout: 1h"), []string{"smtp.timeout", "5m0s"}},
		"negative timeout":   {mail("timeout: -1s"), []string{"smtp.timeout"}},
		"mail ca without":    {mail("ca_file: secret"), []string{"smtp.ca_file", "no certificate"}},
		"no url":             {hook("secret_file: secret"), []string{`"ops"`, "webhook.url"}},
		"http":               {hook(`url: "http://example.com", secret_file: secret`), []string{"webhook.url", "https", "allow_private"}},
		"ftp":                {hook(`url: "ftp://example.com", secret_file: secret, allow_private: true`), []string{"webhook.url", "https"}},
		"userinfo":           {hook(`url: "https://u:hunter2@example.com", secret_file: secret`), []string{"webhook.url", "password"}},
		"no url host":        {hook(`url: "https:///x", secret_file: secret`), []string{"webhook.url", "host"}},
		"fragment":           {hook(`url: "https://example.com/#x", secret_file: secret`), []string{"webhook.url", "fragment"}},
		"not a url":          {hook(`url: "https://u:hunter2@%zz", secret_file: secret`), []string{"webhook.url", "not a URL"}},
		"no secret":          {hook(`url: "https://example.com"`), []string{"webhook.secret_file", "openssl"}},
		"readable secret":    {hook(`url: "https://example.com", secret_file: group`), []string{"webhook.secret_file", "0640", "chmod 600 " + dir}},
		"secret for others":  {hook(`url: "https://example.com", secret_file: all`), []string{"webhook.secret_file", "0604"}},
		"short secret":       {hook(`url: "https://example.com", secret_file: short`), []string{"webhook.secret_file", "3 bytes"}},
		"empty secret":       {hook(`url: "https://example.com", secret_file: empty`), []string{"webhook.secret_file", "empty"}},
		"large secret":       {hook(`url: "https://example.com", secret_file: large`), []string{"webhook.secret_file", "larger"}},
		"secret is a folder": {hook(`url: "https://example.com", secret_file: .`), []string{"webhook.secret_file", "not a file"}},
		"no ca":              {hook(`url: "https://example.com", secret_file: secret, ca_file: none`), []string{"webhook.ca_file", "none"}},
		"long timeout":       {hook(`url: "https://example.com", secret_file: secret, timeout: 1h`), []string{"webhook.timeout"}},
		"name taken": {
			"version: 1\nchannels:\n" + strings.Repeat("  - {name: a, webhook: {url: \"https://example.com\", secret_file: secret}}\n", 2),
			[]string{"channel 2", "taken"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := notify.Load(strings.NewReader(c.file), dir)
			if err == nil {
				t.Fatal("loaded")
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q shows a password", err)
			}
		})
	}
}
