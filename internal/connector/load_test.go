package connector_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"finobs/internal/approval"
	"finobs/internal/connector"
)

func TestFilesThatAreWrong(t *testing.T) {
	const good = "{name: oms, mode: live, base_url: 'https://oms.example.com', kinds: [order], token_file: token}"
	if _, err := load(t, "version: 1\nconnectors:\n  - "+good+"\n"); err != nil {
		t.Fatal(err)
	}
	with := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("there is no %s", old)
		}
		return "version: 1\nconnectors:\n  - " + strings.Replace(good, old, new, 1) + "\n"
	}
	more := func(s string) string { return with("}", ", "+s+"}") }
	for name, c := range map[string]struct{ yaml, want string }{
		"Empty":          {"", "empty"},
		"Version":        {"version: 2\n", "version 2"},
		"UnknownField":   {more("password: x"), "password"},
		"Name":           {with("name: oms", "name: OMS"), "name \"OMS\""},
		"TwoOfOneName":   {"version: 1\nconnectors:\n  - " + good + "\n  - " + strings.Replace(good, "[order]", "[feed]", 1) + "\n", "two connectors called oms"},
		"Mode":           {with("mode: live", "mode: test"), "mode \"test\""},
		"NoMode":         {with("mode: live, ", ""), "mode \"\""},
		"NoKinds":        {with("[order]", "[]"), "kinds is empty"},
		"UnknownKind":    {with("[order]", "[moon]"), "\"moon\" is none of"},
		"KindTwice":      {with("[order]", "[order, order]"), "served by another"},
		"KindOfTwo":      {"version: 1\nconnectors:\n  - " + good + "\n  - " + strings.NewReplacer("name: oms", "name: ems", "oms.ex", "ems.ex").Replace(good) + "\n", "served by another"},
		"OneURLTwoModes": {"version: 1\nconnectors:\n  - " + good + "\n  - " + strings.NewReplacer("name: oms", "name: sim", "mode: live", "mode: simulation", ".com", ".com/").Replace(good) + "\n", "other mode"},
		"NoURL":          {with("'https://oms.example.com'", "''"), "base_url"},
		"HTTP":           {with("https:", "http:"), "want https"},
		"HTTPLoopback":   {with("https://oms.example.com", "http://127.0.0.1:1"), "allow_loopback"},
		"HTTPElsewhere":  {strings.Replace(more("allow_loopback: true"), "https:", "http:", 1), "want https"},
		"UserInURL":      {with("https://", "https://u:p@"), "token_file"},
		"Query":          {with(".com", ".com?key=1"), "?query"},
		"Fragment":       {with(".com", ".com#x"), "#fragment"},
		"Scheme":         {with("https:", "ftp:"), "scheme"},
		"NoProof":        {with(", token_file: token", ""), "nothing proves"},
		"NoTokenFile":    {with("token_file: token", "token_file: none"), "token_file"},
		"CertAlone":      {more("cert_file: c"), "belong together"},
		"NoCert":         {more("cert_file: c, key_file: token"), "cert_file"},
		"NoCA":           {more("ca_file: token"), "ca_file"},
		"ShortTimeout":   {more("timeout: 1ms"), "timeout 1ms"},
		"LongTimeout":    {more("timeout: 3m"), "timeout 3m"},
		"SmallResponse":  {more("max_response: 10"), "max_response 10"},
		"LargeResponse":  {more("max_response: 99999999999"), "max_response"},
	} {
		t.Run(name, func(t *testing.T) {
			if set, err := load(t, c.yaml); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want %q", set, err, c.want)
			}
		})
	}
}

func TestSecretsThatOthersCanRead(t *testing.T) {
	dir := t.TempDir()
	yaml := "version: 1\nconnectors:\n  - {name: oms, mode: live, base_url: 'https://oms.example.com', kinds: [order], token_file: token}\n"
	for text, mode := range map[string]os.FileMode{token: 0o644, "short": 0o600} {
		path := filepath.Join(dir, "token")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := connector.Load(strings.NewReader(yaml), dir, time.Now); err == nil || !strings.Contains(err.Error(), "token_file") {
			t.Errorf("%s at %04o: %v", text, mode, err)
		}
	}
}

func TestInfosHoldNoSecret(t *testing.T) {
	set, err := load(t, "version: 1\nconnectors:\n"+entry("sim", approval.Simulation, "http://127.0.0.1:1/hook/s3cret", "trader, feed", ""))
	if err != nil {
		t.Fatal(err)
	}
	infos := set.Infos()
	if len(infos) != 1 || infos[0].Name != "sim" || infos[0].Host != "127.0.0.1:1" || infos[0].Mode != approval.Simulation || len(infos[0].Kinds) != 2 {
		t.Errorf("got %+v", infos)
	}
}

// However an address is written, what is live is not reached as simulation.
func TestOneAddressOneMode(t *testing.T) {
	for live, sim := range map[string]string{
		"https://oms.example.com/a":      "https://OMS.example.com:443/a/",
		"https://oms.example.com":        "https://oms.example.com./",
		"https://oms.example.com/%61b":   "https://oms.example.com/ab",
		"http://localhost:8479":          "http://127.0.0.1:8479",
		"http://127.0.0.1:8479/x":        "http://[::1]:8479/x",
		"https://[2001:DB8::1]":          "https://[2001:db8:0::1]:443",
		"https://[::ffff:192.0.2.1]:443": "https://192.0.2.1",
	} {
		_, err := load(t, "version: 1\nconnectors:\n"+entry("oms", approval.Live, live, "order", "")+entry("sim", approval.Simulation, sim, "order", ""))
		if err == nil || !strings.Contains(err.Error(), "other mode") {
			t.Errorf("%s is live and %s simulation: %v", live, sim, err)
		}
	}
	for live, sim := range map[string]string{"https://oms.example.com/live": "https://oms.example.com/sim", "http://127.0.0.1:8479": "http://127.0.0.1:8480"} {
		if _, err := load(t, "version: 1\nconnectors:\n"+entry("oms", approval.Live, live, "order", "")+entry("sim", approval.Simulation, sim, "order", "")); err != nil {
			t.Error(err)
		}
	}
}
