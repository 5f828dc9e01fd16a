package connector_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"finobs/internal/approval"
	"finobs/internal/fault"
)

// A probe is one small read of the connector that is meant, and changes nothing.
func TestProbeReadsOneObject(t *testing.T) {
	live, sim := openDesk(t, approval.Live), openDesk(t, approval.Simulation)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer broken.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	// The same kinds in both modes: a probe of one must not end at the other.
	set, err := load(t, "version: 1\nconnectors:\n"+entry("live", approval.Live, live.url, "trader, order", "")+entry("sim", approval.Simulation, sim.url, "trader", "")+
		entry("broken", approval.Live, broken.URL, "ssi", "")+entry("gone", approval.Live, gone.URL, "feed", ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := set.Probe(t.Context(), "live"); err != nil || live.requests.Load() != 1 || sim.requests.Load() != 0 {
		t.Errorf("live: %v, %d and %d requests", err, live.requests.Load(), sim.requests.Load())
	}
	if err := set.Probe(t.Context(), "sim"); err != nil || live.requests.Load() != 1 || sim.requests.Load() != 1 {
		t.Errorf("sim: %v, %d and %d requests", err, live.requests.Load(), sim.requests.Load())
	}
	if err := set.Probe(t.Context(), "broken"); fault.CodeOf(err) != "connector.bad-answer" {
		t.Errorf("garbage: %v", err)
	}
	if err := set.Probe(t.Context(), "gone"); fault.CodeOf(err) != "connector.unreachable" {
		t.Errorf("nobody listens: %v", err)
	}
	if err := set.Probe(t.Context(), "other"); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("an unknown connector: %v", err)
	}
	if n := len(applications(t, live.url)); n != 0 {
		t.Errorf("%d effects", n)
	}
}
