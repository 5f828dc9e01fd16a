package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is what /proc counts CPU time in, by the kernel's promise to user space
// (proc(5), sysconf(_SC_CLK_TCK)).
const tick = 10 * time.Millisecond

// cpuOf is the CPU time that a process and its children have used so far. It is 0
// on systems without /proc.
func cpuOf(pid int) time.Duration {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name in brackets may hold anything; fields are counted after it.
		_, rest, found := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest)
		if !found || len(fields) < 15 {
			continue
		}
		own := filepath.Base(filepath.Dir(file)) == strconv.Itoa(pid)
		if !own && fields[1] != strconv.Itoa(pid) { // the parent
			continue
		}
		counted := fields[11:13] // user and system
		if own {
			counted = fields[11:15] // and those of children that have ended
		}
		for _, f := range counted {
			n, err := strconv.ParseInt(f, 10, 64)
			if err == nil {
				sum += time.Duration(n) * tick
			}
		}
	}
	return sum
}

// cpus is the CPU time of every process of the stack so far.
func (s *stack) cpus() map[string]time.Duration {
	out := map[string]time.Duration{"postgres": cpuOf(s.PostgresPID())}
	for i, role := range roles {
		out[role] = cpuOf(s.processes[i].PID())
	}
	if s.server != nil {
		out["temporal"] = cpuOf(s.server.process.Process.Pid)
		out["temporal's postgres"] = cpuOf(s.server.postgres.PID())
	} else {
		out["temporal"] = cpuOf(s.TemporalPID())
	}
	return out
}

// noteCPU reports what one flow costs each process.
func (b *bench) noteCPU(suite string, before, after map[string]time.Duration, flows int) {
	for _, name := range []string{"api", "worker", "sequencer", "postgres", "temporal", "temporal's postgres"} {
		if used, ok := after[name]; ok {
			b.note(fmt.Sprintf("%s/CPU of a flow, %s", suite, name), "ms", 0, milliseconds(used-before[name])/float64(flows))
		}
	}
}
