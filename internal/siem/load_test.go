package siem

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	ca.issue(t, "client", "finobs")
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("abc\n"), 0o400); err != nil {
		t.Fatal(err)
	}
	s, err := Load(strings.NewReader(`
version: 1
sinks:
  - name: z
    syslog: {address: "siem.example.com:6514", ca_file: ca.pem, cert_file: client.pem, key_file: client.key, facility: local3, app_name: a, hostname: h, enterprise: 4711, format: cef}
  - name: b
    syslog: {address: "[::1]:514", transport: tcp, resend: 7}
  - name: c
    syslog: {address: "localhost:514", transport: udp, facility: "16"}
  - name: d
    syslog: {address: "192.0.2.1:514", transport: tcp, insecure: true}
  - name: e
    https: {url: "https://siem.example.com/in", token_file: token, batch: 100, timeout: 3s}
`), dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Names(); !slices.Equal(got, []string{"b", "c", "d", "e", "z"}) {
		t.Errorf("got %v", got)
	}
	z := s.list[0].(*stream)
	if z.tls.MinVersion != tls.VersionTLS12 || z.tls.ServerName != "siem.example.com" || z.tls.RootCAs == nil || len(z.tls.Certificates) != 1 || z.tls.InsecureSkipVerify ||
		z.resend != 1000 || !z.format.cef || z.format.facility != 19 || z.format.enterprise != 4711 || z.format.hostname != "h" {
		t.Errorf("got %+v", z)
	}
	if b := s.list[1].(*stream); b.tls != nil || !b.local || b.resend != 7 || b.format.facility != 13 || b.format.enterprise != DocumentationPEN {
		t.Errorf("got %+v", b)
	}
	if c := s.list[2].(*datagram); !c.local || !c.lossy() || c.format.facility != 16 {
		t.Errorf("got %+v", c)
	}
	if d := s.list[3].(*stream); d.local {
		t.Errorf("got %+v", d)
	}
	if (*Sinks)(nil).Names() != nil {
		t.Error("no sinks have names")
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	newAuthority(t, dir).issue(t, "client", "finobs")
	for name, mode := range map[string]os.FileMode{"token": 0o600, "group": 0o640, "bad": 0o600} {
		text := "secret"
		if name == "bad" {
			text = "two words"
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	syslog := func(fields string) string { return "version: 1\nsinks: [{name: a, syslog: {" + fields + "}}]" }
	tlsTo := func(fields string) string { return syslog(`address: "h:1", ` + fields) }
	https := func(fields string) string { return "version: 1\nsinks: [{name: a, https: {" + fields + "}}]" }
	at := `url: "https://h/", `
	for name, c := range map[string]struct{ file, says string }{
		"empty":            {"", "empty"},
		"version":          {"version: 2", "version 2"},
		"two documents":    {"version: 1\n---\nversion: 1", "second document"},
		"unknown field":    {tlsTo("colour: red"), "colour"},
		"name":             {"version: 1\nsinks: [{name: A}]", `name "A"`},
		"taken":            {"version: 1\nsinks: [{name: a, syslog: {address: \"h:1\"}}, {name: a}]", "taken"},
		"neither":          {"version: 1\nsinks: [{name: a}]", "neither"},
		"both":             {"version: 1\nsinks: [{name: a, syslog: {}, https: {}}]", "two sinks"},
		"no address":       {syslog(""), "syslog.address"},
		"no port":          {syslog("address: h"), "6514"},
		"named port":       {syslog(`address: "h:syslog"`), "syslog.address"},
		"no host":          {syslog(`address: ":514"`), "syslog.address"},
		"transport":        {tlsTo("transport: relp"), "syslog.transport"},
		"format":           {tlsTo("format: leef"), "syslog.format"},
		"facility":         {tlsTo("facility: local8"), "syslog.facility"},
		"facility number":  {tlsTo(`facility: "24"`), "syslog.facility"},
		"app name":         {tlsTo(`app_name: "a b"`), "app_name"},
		"hostname":         {tlsTo(`hostname: "ö"`), "hostname"},
		"enterprise":       {tlsTo("enterprise: 0"), "enterprise"},
		"large enterprise": {tlsTo("enterprise: 4294967296"), "4294967296"},
		"resend":           {tlsTo("resend: -1"), "resend"},
		"insecure tls":     {tlsTo("insecure: true"), "insecure"},
		"cert alone":       {tlsTo("cert_file: client.pem"), "together"},
		"wrong key":        {tlsTo("cert_file: client.pem, key_file: ca.key"), "key_file"},
		"readable key":     {tlsTo("cert_file: client.pem, key_file: group"), "0640"},
		"ca":               {tlsTo("ca_file: token"), "no certificate"},
		"clear tcp":        {syslog(`address: "siem.example.com:514", transport: tcp`), "insecure: true"},
		"clear udp":        {syslog(`address: "192.0.2.1:514", transport: udp`), "insecure: true"},
		"tcp with ca":      {syslog(`address: "127.0.0.1:514", transport: tcp, ca_file: ca.pem`), "transport: tls"},
		"no url":           {https("token_file: token"), "https.url"},
		"http":             {https(`url: "http://h/", token_file: token`), "want https"},
		"password":         {https(`url: "https://u:hunter2@h/", token_file: token`), "token_file"},
		"not a url":        {https(`url: "https://u:hunter2@%zz", token_file: token`), "not a URL"},
		"fragment":         {https(`url: "https://h/#x", token_file: token`), "fragment"},
		"no url host":      {https(`url: "https:///x", token_file: token`), "no host"},
		"no token":         {https(at), "token_file is missing"},
		"readable token":   {https(at + "token_file: group"), "0640"},
		"bad token":        {https(at + "token_file: bad"), "bearer token"},
		"batch":            {https(at + "token_file: token, batch: 5001"), "https.batch"},
		"timeout":          {https(at + "token_file: token, timeout: 1h"), "https.timeout"},
		"https ca":         {https(at + "token_file: token, ca_file: none"), "https.ca_file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(strings.NewReader(c.file), dir)
			if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}
