package fix

import (
	"io"
)

// EventReport is what was read of a log and what it tells.
type EventReport struct {
	Report
	// Events counts happenings by kind, LineEvents those that a line of the log tells
	// and no message: a logon that both tell is counted in both.
	Events     map[EventKind]int `json:"events"`
	LineEvents map[EventKind]int `json:"line_events"`
	Trades     int               `json:"trades"`  // executions that are fills, repeats among them
	Repeats    int               `json:"repeats"` // executions that were sent before (43=Y)
	Sessions   []Session         `json:"sessions"`
	// SessionsUntracked counts the messages of sessions over 1,000.
	SessionsUntracked int   `json:"sessions_untracked"`
	Gaps              []Gap `json:"gaps"` // also those that were filled later
	GapsUnfilled      int   `json:"gaps_unfilled"`
	GapsOmitted       int   `json:"gaps_omitted"`
}

// ReadEvents reads a log and calls yield for each happening, in the order of the
// log: what a message tells, then what its number tells. Memory is bounded as in
// Read; whether an execution is on record already is for the database to say. It
// fails as Read does.
func ReadEvents(r io.Reader, yield func(*Event) error) (EventReport, error) {
	w := &watcher{yield: yield, sequences: NewSequences()}
	w.report.Events, w.report.LineEvents = map[EventKind]int{}, map[EventKind]int{}
	lines, err := read(r, w.message, w.line)
	omitted := w.report.WarningsOmitted
	warnings := w.report.Warnings
	w.report.Report = lines
	w.report.mergeWarnings(warnings, omitted)
	w.report.Sessions, w.report.Gaps = w.sequences.Sessions(), w.sequences.Gaps()
	w.report.SessionsUntracked, w.report.GapsOmitted = w.sequences.Untracked, w.sequences.GapsOmitted
	for _, g := range w.report.Gaps {
		if !g.Filled {
			w.report.GapsUnfilled++
		}
	}
	return w.report, err
}

// watcher turns messages and lines into events.
type watcher struct {
	yield     func(*Event) error
	sequences *Sequences
	report    EventReport
}

func (w *watcher) message(m *Message) error {
	if e, ok := Classify(m); ok {
		w.report.Events[e.Kind]++
		if x := e.Execution; x != nil {
			if x.Trade() {
				w.report.Trades++
			}
			if e.Repeat {
				w.report.Repeats++
			}
		}
		for _, p := range e.Problems {
			w.report.warn(LineError{Line: m.Line, Problem: p})
		}
		if err := w.yield(&e); err != nil {
			return err
		}
	}
	if e, ok := w.sequences.Observe(m); ok {
		w.report.Events[e.Kind]++
		return w.yield(&e)
	}
	return nil
}

func (w *watcher) line(n int, text string) error {
	e, ok := ClassifyLine(n, text)
	if !ok {
		return nil
	}
	w.report.LineEvents[e.Kind]++
	return w.yield(&e)
}
