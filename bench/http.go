package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"finobs/internal/devstack"
)

const (
	httpTurn    = 700 * time.Millisecond
	httpTurns   = 5
	httpClients = 8
	copies      = 10_000 // of each kind of row
)

// measureHTTP compares lists and details of the API with a bare handler over the
// same statements, each a process of its own.
func measureHTTP(ctx context.Context, b *bench) (err error) {
	s, err := b.newStack(ctx, "http")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	ids, release, err := s.fill(ctx, copies)
	if err != nil {
		return err
	}
	defer release()
	port, err := devstack.FreePort(0)
	if err != nil {
		return err
	}
	floor := fmt.Sprintf("127.0.0.1:%d", port)
	if err := s.startFloorHTTP(ctx, floor); err != nil {
		return err
	}
	for _, r := range []struct{ name, path string }{
		{"approvals, list of 50", "/approval/?status=pending&limit=50"},
		{"approval, detail", fmt.Sprintf("/approval/%d", ids.approval)},
		{"incidents, list of 50", "/incidents?status=open&limit=50"},
		{"incident, detail", fmt.Sprintf("/incidents/%d", ids.incident)},
		{"audit, list of 50", "/audit?limit=50"},
		{"exports, list of 50", "/exports/?limit=50"},
	} {
		ours, plain := &hit{s: s, url: "http://" + s.APIAddress + r.path}, &hit{s: s, url: "http://" + floor + r.path}
		if err := sameShape(ctx, ours, plain); err != nil {
			return err
		}
		err := b.measure(ctx, comparison{
			name: "http/" + r.name, unit: "requests/s", better: higher, goal: 0.85, turns: httpTurns,
			floor: "a bare gin handler over the same statements that writes the same JSON, for anybody",
			ours:  ours.rate, plain: plain.rate,
		})
		if err != nil {
			return err
		}
		b.report.add(comparison{name: "http/" + r.name + ", p99", unit: "ms", better: lower, goal: 2, floor: "the same"}, ours.p99[httpTurns:], plain.p99[httpTurns:])
	}
	return nil
}

// hit calls one address over and over.
type hit struct {
	s   *stack
	url string
	p99 []float64 // of each turn, in ms
}

func (h *hit) rate(ctx context.Context) (float64, error) {
	var mu sync.Mutex
	var took []time.Duration
	errs := make([]error, httpClients)
	began := time.Now()
	var all sync.WaitGroup
	for i := range httpClients {
		all.Go(func() {
			for time.Since(began) < httpTurn && errs[i] == nil {
				at := time.Now()
				errs[i] = h.read(ctx, io.Discard)
				mu.Lock()
				took = append(took, time.Since(at))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	h.p99 = append(h.p99, milliseconds(percentile(took, 0.99)))
	return float64(len(took)) / time.Since(began).Seconds(), errors.Join(errs...)
}

// read calls the address once and copies the answer.
func (h *hit) read(ctx context.Context, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+h.s.tokens["bob"])
	res, err := h.s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, err := io.ReadAll(res.Body)
		return errors.Join(fmt.Errorf("%s answered %d: %s", h.url, res.StatusCode, text), err)
	}
	_, err = io.Copy(to, res.Body)
	return err
}
