package profiling_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"finobs/internal/profiling"
)

func TestOnlyThisMachineIsServed(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:6060", "[::]:0", "example.com:6060", "6060"} {
		stop, err := profiling.Serve(t.Context(), address)
		if err == nil {
			stop()
			t.Errorf("%s is served", address)
			continue
		}
		if !strings.Contains(err.Error(), "FINOBS_PPROF_ADDRESS") || !strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("%s: the error does not say what to mend: %v", address, err)
		}
	}
}

func TestProfilesAreServedUntilTheEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	stop, err := profiling.Serve(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for path, status := range map[string]int{
		"/debug/pprof/profile?seconds=1": http.StatusOK, "/debug/pprof/heap": http.StatusOK, "/debug/pprof/cmdline": http.StatusNotFound, "/": http.StatusNotFound,
	} {
		res, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != status || status == http.StatusOK && !strings.HasPrefix(string(text), "\x1f\x8b") {
			t.Errorf("%s: %d with %d bytes, %v", path, res.StatusCode, len(text), err)
		}
	}
	stop()
	if res, err := http.Get("http://" + address + "/debug/pprof/heap"); err == nil {
		res.Body.Close()
		t.Error("profiles are served after the end")
	}
}

func TestWithoutAnAddressNothingIsServed(t *testing.T) {
	stop, err := profiling.Serve(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	stop()
}
