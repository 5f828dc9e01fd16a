package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"

	"finobs/internal/devstack"
)

// profileSeconds is how long one profile takes. A process is profiled again and again
// while its suite runs; go tool pprof adds up the files that it is given.
const profileSeconds = 10

// profiles takes CPU profiles of the processes of a stack: FOLDER/STACK-ROLE-N.cpu.pprof.
type profiles struct {
	folder, stack string            // no folder: none are taken
	addresses     map[string]string // by role
	stopped       chan struct{}
	all           sync.WaitGroup
	mu            sync.Mutex
	err           error
}

func newProfiles(folder, stack string) *profiles {
	return &profiles{folder: folder, stack: stack, addresses: map[string]string{}, stopped: make(chan struct{})}
}

// of chooses where a role serves its profiles and returns the setting that says so.
func (p *profiles) of(role string) ([]string, error) {
	if p.folder == "" {
		return nil, nil
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		return nil, err
	}
	p.addresses[role] = fmt.Sprintf("127.0.0.1:%d", port)
	return []string{"FINOBS_PPROF_ADDRESS=" + p.addresses[role]}, nil
}

// start takes profiles until stop is called.
func (p *profiles) start(ctx context.Context) error {
	if p.folder == "" {
		return nil
	}
	if err := os.MkdirAll(p.folder, 0o755); err != nil {
		return err
	}
	for role, address := range p.addresses {
		p.all.Go(func() {
			for n := 1; !p.ended() && ctx.Err() == nil; n++ {
				name := filepath.Join(p.folder, fmt.Sprintf("%s-%s-%02d.cpu.pprof", p.stack, role, n))
				if err := takeProfile(ctx, address, name); err != nil {
					p.mu.Lock()
					p.err = errors.Join(p.err, fmt.Errorf("profiling %s: %w", role, err))
					p.mu.Unlock()
					return
				}
			}
		})
	}
	return nil
}

func (p *profiles) ended() bool {
	select {
	case <-p.stopped:
		return true
	default:
		return false
	}
}

// stop waits for the last profiles.
func (p *profiles) stop() error {
	close(p.stopped)
	p.all.Wait()
	return p.err
}

func takeProfile(ctx context.Context, address, name string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, profileSeconds), nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("it answered %s", res.Status)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, err = io.Copy(file, res.Body)
	return err
}
