package llm_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	settings "finobs/internal/config"
	"finobs/internal/llm"

	"go.yaml.in/yaml/v3"
)

func TestASecretStaysHidden(t *testing.T) {
	c := config("http://127.0.0.1:1")
	a := analyst(t, c)
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
		fmt.Fprintf(&b, verb+verb+verb, c.Key, c, a)
	}
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "key", c.Key, "config", c)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "key", c.Key, "config", c)
	json.NewEncoder(&b).Encode(c) //nolint:errcheck // to memory
	yaml.NewEncoder(&b).Encode(c) //nolint:errcheck // to memory
	b.WriteString(c.Key.String())
	if strings.Contains(b.String(), canary) || strings.Contains(b.String(), fmt.Sprintf("%x", canary)) || !strings.Contains(b.String(), "(hidden)") {
		t.Errorf("the key is shown: %s", b.String())
	}
}

func TestSettings(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	loose := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(loose, []byte(canary), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change map[string]string // of settings that are right
		says   string            // of the error; empty: none
	}{
		"all that is needed":         {nil, ""},
		"ollama needs a model alone": {map[string]string{"PROVIDER": "ollama", "KEY_FILE": ""}, ""},
		"an unknown provider":        {map[string]string{"PROVIDER": "skynet"}, "FINOBS_MODEL_PROVIDER"},
		"no model":                   {map[string]string{"": ""}, "FINOBS_MODEL must name"},
		"no key":                     {map[string]string{"KEY_FILE": ""}, "FINOBS_MODEL_KEY_FILE"},
		"two keys":                   {map[string]string{"KEY": canary}, "both set"},
		"a key that all may read":    {map[string]string{"KEY_FILE": loose}, "chmod 600"},
		"a short key":                {map[string]string{"KEY_FILE": "", "KEY": "abc"}, "no key"},
		"a key of two lines":         {map[string]string{"KEY_FILE": "", "KEY": "abcdefgh\nX-Admin: 1"}, "a character that no key has"},
		"http":                       {map[string]string{"BASE_URL": "http://example.com/v1"}, "want https"},
		"a password in the address":  {map[string]string{"BASE_URL": "https://a:b@example.com"}, "FINOBS_MODEL_BASE_URL"},
		"a query in the address":     {map[string]string{"BASE_URL": "https://example.com/v1?key=x"}, "?query"},
		"compatible with what":       {map[string]string{"PROVIDER": "compatible"}, "FINOBS_MODEL_BASE_URL must be set"},
		"an unknown structure":       {map[string]string{"STRUCTURE": "yaml"}, "FINOBS_MODEL_STRUCTURE"},
		"a structure not spoken":     {map[string]string{"PROVIDER": "anthropic", "STRUCTURE": "schema"}, "FINOBS_MODEL_STRUCTURE"},
		"tools of ollama":            {map[string]string{"PROVIDER": "ollama", "STRUCTURE": "tool"}, "FINOBS_MODEL_STRUCTURE"},
		"one price":                  {map[string]string{"PRICE_INPUT": "2"}, "FINOBS_MODEL_PRICE_OUTPUT"},
		"a price with an exponent":   {map[string]string{"PRICE_INPUT": "1e9", "PRICE_OUTPUT": "1"}, "FINOBS_MODEL_PRICE_INPUT"},
		"a negative price":           {map[string]string{"PRICE_INPUT": "-1", "PRICE_OUTPUT": "1"}, "FINOBS_MODEL_PRICE_INPUT"},
		"no time":                    {map[string]string{"TIMEOUT": "0s"}, "FINOBS_MODEL_TIMEOUT"},
		"no output":                  {map[string]string{"MAX_OUTPUT_TOKENS": "1"}, "FINOBS_MODEL_MAX_OUTPUT_TOKENS"},
		"no prompt":                  {map[string]string{"MAX_PROMPT_BYTES": "1"}, "FINOBS_MODEL_MAX_PROMPT_BYTES"},
		"no context":                 {map[string]string{"CONTEXT_TOKENS": "1"}, "FINOBS_MODEL_CONTEXT_TOKENS"},
		"a proxy with a password":    {map[string]string{"PROXY": "http://a:b@proxy"}, "FINOBS_MODEL_PROXY"},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]string{"FINOBS_MODEL": "m", "FINOBS_MODEL_PROVIDER": "openai", "FINOBS_MODEL_KEY_FILE": key}
			for name, value := range c.change {
				values[strings.TrimSuffix("FINOBS_MODEL_"+name, "_")] = value
			}
			parsed, err := settings.Parse[llm.Config](values)
			if err != nil {
				t.Fatal(err)
			}
			if parsed.Timeout != time.Minute && values["FINOBS_MODEL_TIMEOUT"] == "" {
				t.Errorf("the usual timeout is %s", parsed.Timeout)
			}
			_, err = llm.New(parsed)
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Error("the error shows the key")
			}
		})
	}
	none, err := settings.Parse[llm.Config](map[string]string{})
	if err != nil || none.Enabled() {
		t.Errorf("without settings there is a model: %v", err)
	}
}
