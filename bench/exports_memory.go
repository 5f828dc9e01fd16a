package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"finobs/internal/export"

	"github.com/klauspost/compress/zstd"
)

// measureMemory compares the worker's peak for all rows with that for a tenth of
// them, and leaves all rows in the table.
func (e *exporter) measureMemory(ctx context.Context, b *bench, rows int) error {
	kinds := []exported{exportKinds[1]}
	if b.full {
		kinds = exportKinds
	}
	peaks := map[int]map[exported][]float64{}
	for _, n := range []int{rows / 10, rows} {
		if err := e.fill(ctx, n); err != nil {
			return err
		}
		peaks[n] = map[exported][]float64{}
		for _, kind := range kinds {
			for range b.rounds {
				resident, own, err := e.peak(ctx, kind)
				if err != nil {
					return err
				}
				peaks[n][kind] = append(peaks[n][kind], resident)
				fmt.Printf("  %-44s %d rows: peak %s MiB, %s of them its own\n", kind, n, figure(resident), figure(own))
				if n == rows {
					peaks[0] = appendTo(peaks[0], kind, own)
				}
			}
		}
	}
	for _, kind := range kinds {
		b.report.add(comparison{
			name: fmt.Sprintf("exports/%s, peak memory", kind), unit: "MiB", better: lower, goal: 1.25, floor: "the worker's peak at a tenth of the rows",
		}, peaks[rows][kind], peaks[rows/10][kind])
		b.note(fmt.Sprintf("exports/%s, peak memory without the program's file", kind), "MiB", 64, peaks[0][kind]...)
	}
	return nil
}

func appendTo(m map[exported][]float64, kind exported, v float64) map[exported][]float64 {
	if m == nil {
		m = map[exported][]float64{}
	}
	m[kind] = append(m[kind], v)
	return m
}

// peak is the most memory, in MiB, that a fresh worker takes in one export: all that
// is resident, as the kernel keeps count, and what is not the program's file, as it
// is looked at every few milliseconds.
func (e *exporter) peak(ctx context.Context, kind exported) (resident, own float64, err error) {
	if err := e.restart(); err != nil {
		return 0, 0, err
	}
	ended, most := make(chan struct{}), make(chan float64)
	go func() {
		var v float64
		for {
			now, err := e.memory("RssAnon")
			if err == nil {
				v = max(v, now)
			}
			select {
			case <-ended:
				most <- v
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	d, err := e.one(ctx, kind)
	close(ended)
	own = <-most
	if err != nil {
		return 0, 0, err
	}
	resident, err = e.memory("VmHWM")
	if err != nil {
		return 0, 0, err
	}
	return resident, own, os.RemoveAll(filepath.Dir(d.file))
}

// memory is a figure of the worker's /proc/PID/status, in MiB.
func (e *exporter) memory(field string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.worker.PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, field+": %f kB", &kib); n == 1 {
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("the system does not tell %s of process %d", field, e.worker.PID())
}

// checked makes one export that is not measured, and reads every line of it when it
// is NDJSON.
func (e *exporter) checked(ctx context.Context, kind exported) error {
	d, err := e.one(ctx, kind)
	if err != nil {
		return err
	}
	if kind.format == export.NDJSON && kind.compression == export.Zstd {
		if err := validLines(d.file, e.rows); err != nil {
			return fmt.Errorf("export %d: %w", d.id, err)
		}
	}
	return os.RemoveAll(filepath.Dir(d.file))
}

// validLines reads an artefact of NDJSON, of which each line must be an object.
func validLines(path string, rows int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		return err
	}
	defer z.Close()
	n := 0
	for lines := bufio.NewScanner(z); ; n++ {
		if !lines.Scan() {
			if err := lines.Err(); err != nil {
				return err
			}
			break
		}
		if line := lines.Bytes(); !json.Valid(line) || line[0] != '{' {
			return fmt.Errorf("line %d is no JSON object", n+1)
		}
	}
	if n != rows {
		return fmt.Errorf("%d lines for %d rows", n, rows)
	}
	return nil
}
