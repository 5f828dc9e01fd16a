package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is a way in which the next commands go wrong.
type Fault string

// The closed set of faults. Before and after are of the effect.
const (
	HangBefore Fault = "hang_before" // waits Delay and applies late; without a delay, until the caller leaves, and never applies
	HangAfter  Fault = "hang_after"  // applies and does not answer until the caller leaves or Delay is over
	FailBefore Fault = "fail_before" // 500 without an effect
	FailAfter  Fault = "fail_after"  // 500 with an effect
	DropBefore Fault = "drop_before" // connection reset without an effect
	DropAfter  Fault = "drop_after"  // connection reset with an effect
	Slow       Fault = "slow"        // applies and answers after Delay
	Lie        Fault = "lie"         // applies and answers 200 with garbage
	LieBefore  Fault = "lie_before"  // answers 200 with garbage without an effect
	Endless    Fault = "endless"     // applies and answers without end
	Redirect   Fault = "redirect"    // answers a redirect without an effect
	NoRecovery Fault = "no_recovery" // what the next commands begin ends badly
)

// Faults lists all of them.
func Faults() []Fault {
	return []Fault{HangBefore, HangAfter, FailBefore, FailAfter, DropBefore, DropAfter, Slow, Lie, LieBefore, Endless, Redirect, NoRecovery}
}

// order asks for faults of the next commands.
type order struct {
	Fault Fault  `json:"fault"`
	Count int    `json:"count"` // of commands; 1 when absent
	Delay string `json:"delay"` // such as "250ms"; "" for none
}

// planned is one fault that waits for its command.
type planned struct {
	fault Fault
	delay time.Duration
}

// faults are those that wait, first come first served.
type faults struct {
	mu    sync.Mutex
	queue []planned
}

const maxFaults = 1000

// read checks an order.
func (o order) read() ([]planned, error) {
	if !slices.Contains(Faults(), o.Fault) {
		names := make([]string, 0, len(Faults()))
		for _, f := range Faults() {
			names = append(names, string(f))
		}
		return nil, fmt.Errorf("fault %q is none of %s", o.Fault, strings.Join(names, ", "))
	}
	p := planned{fault: o.Fault}
	if o.Delay != "" {
		delay, err := time.ParseDuration(o.Delay)
		if err != nil || delay < 0 {
			return nil, fmt.Errorf("delay %q is no duration such as 250ms", o.Delay)
		}
		p.delay = delay
	}
	if o.Count == 0 {
		o.Count = 1
	}
	if o.Count < 0 || o.Count > maxFaults {
		return nil, fmt.Errorf("count %d is not between 1 and %d", o.Count, maxFaults)
	}
	return slices.Repeat([]planned{p}, o.Count), nil
}

func (f *faults) add(p []planned) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = append(f.queue, p...)
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queue = nil
}

// take is the fault of the command that came now; none for most.
func (f *faults) take() planned {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 {
		return planned{}
	}
	first := f.queue[0]
	f.queue = f.queue[1:]
	return first
}
