package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"finobs/internal/devstack"

	"github.com/google/uuid"
)

const (
	intakeRound   = 4 * time.Second
	intakeSenders = 32
)

// sending posts bodies of alerts to one address.
type sending struct {
	s    *stack
	url  string
	each int // alerts of one body
	// recorded counts the alerts whose fingerprints begin with a tag.
	recorded func(ctx context.Context, tag string) (int64, error)
}

// measureIntake, whose senders each have a host of their own, compares alerts that are taken in and recorded, each as an event
// under its digest with its condition folded, with a bare handler that inserts the
// same bodies.
func measureIntake(ctx context.Context, b *bench) (err error) {
	s, err := b.newStack(ctx, "intake")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	port, err := devstack.FreePort(0)
	if err != nil {
		return err
	}
	floor := fmt.Sprintf("127.0.0.1:%d", port)
	if err := s.startFloorIntake(ctx, floor); err != nil {
		return err
	}
	for _, each := range []int{1, 100} {
		ours := &sending{s: s, url: "http://" + s.APIAddress + "/ingest/alertmanager", each: each, recorded: func(ctx context.Context, tag string) (n int64, err error) {
			err = s.admin.QueryRowContext(ctx, "SELECT count(*) FROM finobs.event WHERE fingerprint LIKE 'alertmanager:' || $1 || '%'", tag).Scan(&n)
			return n, err
		}}
		plain := &sending{s: s, url: "http://" + floor + "/", each: each, recorded: func(ctx context.Context, tag string) (n int64, err error) {
			err = s.admin.QueryRowContext(ctx, "SELECT count(*) FROM bench.body WHERE body LIKE '%' || $1 || '%'", tag).Scan(&n)
			return n * int64(each), err
		}}
		err := b.measure(ctx, comparison{
			name: fmt.Sprintf("intake/alerts taken in, %d a body", each), unit: "events/s", better: higher,
			floor: "a bare gin handler that inserts the same bodies, for anybody", ours: ours.rate, plain: plain.rate,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rate sends for a round, and waits until all that was taken in is recorded.
func (i *sending) rate(ctx context.Context) (float64, error) {
	tag := "rate-" + uuid.NewString()[:8]
	var sent atomic.Int64
	errs := make([]error, intakeSenders)
	began := time.Now()
	var all sync.WaitGroup
	for n := range intakeSenders {
		all.Go(func() {
			for k := 0; time.Since(began) < intakeRound && errs[n] == nil; k++ {
				if errs[n] = i.send(ctx, alerts(fmt.Sprintf("%s-%d-%d", tag, n, k), fmt.Sprintf("host-%d", n), i.each)); errs[n] == nil {
					sent.Add(int64(i.each))
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		n, err := i.recorded(ctx, tag)
		if err != nil {
			return 0, err
		}
		if n >= sent.Load() {
			break
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("%d of %d events are recorded after a minute", n, sent.Load())
		}
	}
	return float64(sent.Load()) / time.Since(began).Seconds(), nil
}

// alerts is a body about one host, as the Alertmanager of Prometheus sends it (version 4).
func alerts(tag, host string, n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`{"status":"firing","fingerprint":"%s-%d","labels":{"alertname":"a","instance":%q,"severity":"info"},"startsAt":"2026-11-24T14:30:00Z"}`, tag, i, host)
	}
	return `{"version":"4","status":"firing","alerts":[` + strings.Join(list, ",") + `]}`
}

func (i *sending) send(ctx context.Context, body string) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+i.s.tokens["alice"])
		res, err := i.s.http.Do(req)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		switch {
		case err != nil:
			return err
		case res.StatusCode == http.StatusOK, res.StatusCode == http.StatusAccepted:
			return nil
		case res.StatusCode != http.StatusServiceUnavailable || time.Now().After(deadline):
			return fmt.Errorf("%s answered %d: %s", i.url, res.StatusCode, text)
		}
		time.Sleep(overloaded)
	}
}
