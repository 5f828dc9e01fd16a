package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"finobs/internal/siem"
	"finobs/internal/store"
)

// sinkRetryInterval is how long a sink that failed is left alone at most: who looks
// at /systems is told within 10 s that it is back.
const sinkRetryInterval = 2 * time.Second

// sinkReportInterval is how often the state of the sinks is made known.
const sinkReportInterval = 2 * time.Second

// leaves lets the feeder read the log.
type leaves struct{ *store.Sequencer }

// Leaves implements siem.Source.
func (l leaves) Leaves(ctx context.Context, from int64, limit int) ([]siem.Event, error) {
	rows, err := l.Sequencer.Leaves(ctx, from, limit)
	if err != nil {
		return nil, err
	}
	events := make([]siem.Event, 0, len(rows))
	for _, r := range rows {
		events = append(events, siem.Event{Index: r.Index, Leaf: r.Leaf, SHA256: [32]byte(r.SHA256), TreeSize: r.TreeSize})
	}
	return events, nil
}

func loadSinks(path string) (*siem.Sinks, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading sinks: %w", err)
	}
	defer file.Close()
	sinks, err := siem.Load(file, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return sinks, nil
}

// feed sends the log to the sinks while this sequencer is the writer.
func feed(ctx context.Context, db *store.Sequencer, sinks *siem.Sinks) {
	f := &siem.Feeder{
		Source: leaves{db}, Cursors: db, Sinks: sinks, Now: time.Now,
		Timing: siem.Timing{BackoffMax: sinkRetryInterval},
		Notify: func(lag siem.Lag, recovered bool) {
			reason := lag.Err
			if recovered {
				reason = "the sink has caught up"
			}
			slog.WarnContext(ctx, "sink", "name", lag.Sink, "behind", lag.Behind, "recovered", recovered, "reason", reason)
			if err := db.AppendLag(ctx, lag.Sink, recovered, reason, lag.Behind); err != nil {
				slog.WarnContext(ctx, "lag of a sink not recorded", "error", err)
			}
		},
	}
	go func() {
		tick := time.NewTicker(sinkReportInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				reportSinks(ctx, db, f)
			}
		}
	}()
	if err := f.Run(ctx); err != nil {
		slog.ErrorContext(ctx, "sinks are not fed", "error", err)
	}
}

func reportSinks(ctx context.Context, db *store.Sequencer, f *siem.Feeder) {
	for _, s := range f.Status() {
		text, err := json.Marshal(map[string]any{
			"sent": s.Sent, "behind": s.Behind, "connected": s.Connected, "lossy": s.Lossy, "last_error": s.LastError, "last_success": s.LastSuccess,
		})
		if err == nil {
			err = db.ReportSink(ctx, s.Name, text)
		}
		if err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "state of a sink not reported", "error", err)
		}
	}
}
