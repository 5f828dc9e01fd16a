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
	httpRound   = 4 * time.Second
	httpClients = 8
	copies      = 10_000 // requests that are pending
)

// measureHTTP compares lists and details of the API with a bare handler over the
// same query, each a process of its own.
func measureHTTP(ctx context.Context, b *bench) (err error) {
	s, err := b.newStack(ctx, "http", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	id, err := s.asks(ctx)
	if err != nil {
		return err
	}
	hold, err := s.admin.BeginTx(ctx, nil) // or the reconciler would end the copies
	if err != nil {
		return err
	}
	defer hold.Rollback() // nothing was changed
	if _, err := hold.ExecContext(ctx, "SELECT FROM finobs.reconciler FOR UPDATE"); err != nil {
		return err
	}
	if err := s.insertCopies(ctx, id, copies); err != nil {
		return err
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		return err
	}
	floor := fmt.Sprintf("127.0.0.1:%d", port)
	if err := s.startFloorHTTP(ctx, floor); err != nil {
		return err
	}
	for name, path := range map[string]string{"list of 50": "/approval/?status=pending&limit=50", "detail": fmt.Sprintf("/approval/%d", id)} {
		ours, plain := &hit{s: s, url: "http://" + s.APIAddress + path}, &hit{s: s, url: "http://" + floor + path}
		err := b.measure(ctx, comparison{
			name: "http/" + name, unit: "requests/s", better: higher, goal: 0.85, floor: "a bare gin handler over the same query, for anybody",
			ours: ours.rate, plain: plain.rate,
		})
		if err != nil {
			return err
		}
		b.report.add(comparison{name: "http/" + name + ", p99", unit: "ms", better: lower, goal: 2, floor: "the same"}, ours.p99[1:], plain.p99[1:])
	}
	return nil
}

// hit calls one address over and over.
type hit struct {
	s   *stack
	url string
	p99 []float64 // of each round, in ms
}

func (h *hit) rate(ctx context.Context) (float64, error) {
	var mu sync.Mutex
	var took []time.Duration
	errs := make([]error, httpClients)
	began := time.Now()
	var all sync.WaitGroup
	for i := range httpClients {
		all.Go(func() {
			for time.Since(began) < httpRound && errs[i] == nil {
				at := time.Now()
				errs[i] = h.once(ctx)
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

func (h *hit) once(ctx context.Context) error {
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
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", h.url, res.StatusCode)
	}
	return nil
}
