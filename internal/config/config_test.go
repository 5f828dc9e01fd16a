package config_test

import (
	"strings"
	"testing"
	"time"

	"finobs/internal/config"
)

func TestParse(t *testing.T) {
	_, err := config.Parse[config.API](map[string]string{})
	for _, name := range []string{"FINOBS_API_DATABASE_URL", "FINOBS_DECISION_KEY", "FINOBS_SPOOL_DIR"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
	c, err := config.Parse[config.API](map[string]string{
		"FINOBS_API_DATABASE_URL": "u", "FINOBS_DECISION_KEY": "k", "FINOBS_IDENTITY_KEYS": "a,b",
		"FINOBS_ARTEFACT_DIR": "d", "FINOBS_SPOOL_DIR": "s", "TEMPORAL_NAMESPACE": "n", "FINOBS_MANIFEST_PUBLIC_KEY": "m",
	})
	if err != nil || len(c.IdentityKeys) != 2 || c.Listen != "127.0.0.1:8080" || c.Namespace != "n" || c.AnswerWait != 3*time.Second {
		t.Errorf("got %+v, %v", c, err)
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:8080": true, "[::1]:8080": true, "localhost:1": true, "127.9.9.9:1": true,
		"0.0.0.0:8080": false, ":8080": false, "10.0.0.1:80": false, "example.com:80": false, "nonsense": false, "": false,
	} {
		if got := config.Loopback(address); got != want {
			t.Errorf("%q: got %v", address, got)
		}
	}
}
