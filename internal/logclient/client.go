// Package logclient downloads a log over HTTP, for verification offline. It
// believes nothing of what it gets.
package logclient

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"finobs/internal/audit"
	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	requestTimeout = 30 * time.Second
	maxAnswer      = 64 << 20 // bytes; a full bundle has 16 MiB at most
)

// Client reads one log.
type Client struct {
	Base  string // such as https://finobs.example.com
	Token string // of somebody who may read the log
	http  http.Client
}

// New returns a client of the log at base.
func New(base, token string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is no address such as https://finobs.example.com", base)
	}
	return &Client{Base: strings.TrimSuffix(base, "/"), Token: token, http: http.Client{Timeout: requestTimeout}}, nil
}

// ErrMissing is wrapped when the log does not have what was asked for, though its
// checkpoint says that it is there.
var ErrMissing = errors.New("the log does not have it")

// Get reads one resource below the base.
func (c *Client) Get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Base+path, nil)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", path, err)
	case res.StatusCode == http.StatusOK:
		return text, nil
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(text, &problem) != nil || problem.Detail == "" {
		problem.Detail = res.Status
	}
	if res.StatusCode == http.StatusGone || res.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %s", ErrMissing, problem.Detail)
	}
	return nil, fmt.Errorf("reading %s: the log answered %d: %s", path, res.StatusCode, problem.Detail)
}

// Fetch downloads the log into a folder: the checkpoint, every entry, the tiles of
// hashes and the columns. Full tiles that are there already are not read again.
// What the log has lost is left out; verification finds that.
func (c *Client) Fetch(ctx context.Context, dir string, progress func(done, total int64)) error {
	checkpoint, err := c.Get(ctx, "/log/checkpoint")
	if err != nil {
		return err
	}
	_, tree, err := ledger.PeekCheckpoint(checkpoint)
	if err != nil {
		return fmt.Errorf("%w: %w", audit.ErrSignature, err)
	}
	if err := write(dir, "checkpoint", checkpoint); err != nil {
		return err
	}
	for n := range audit.Bundles(tree.Size) {
		width := audit.Width(tree.Size, n)
		for _, path := range []string{audit.EntriesPath(n, width), audit.ProjectionPath(n, width)} {
			if err := c.keep(ctx, dir, path, width == ledger.TileWidth); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(n*ledger.TileWidth+width, tree.Size)
		}
	}
	for level := 0; tree.Size>>(ledger.TileHeight*level) > 0; level++ {
		hashes := tree.Size >> (ledger.TileHeight * level)
		for n := range audit.Bundles(hashes) {
			t := tlog.Tile{H: ledger.TileHeight, L: level, N: n, W: int(audit.Width(hashes, n))}
			if err := c.keep(ctx, dir, audit.TilePath(t), t.W == ledger.TileWidth); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep downloads one file of the copy.
func (c *Client) keep(ctx context.Context, dir, path string, final bool) error {
	if final && !strings.HasPrefix(path, "projection") {
		if _, err := os.Stat(filepath.Join(dir, path)); err == nil {
			return nil
		}
	}
	text, err := c.Get(ctx, "/log/"+path)
	if errors.Is(err, ErrMissing) {
		return errors.Join(write(dir, path+".lost", []byte(err.Error())), remove(dir, path))
	}
	if err != nil {
		return err
	}
	return errors.Join(write(dir, path, text), remove(dir, path+".lost"))
}

func remove(dir, path string) error {
	if err := os.Remove(filepath.Join(dir, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keeping %s: %w", path, err)
	}
	return nil
}

func write(dir, path string, text []byte) error {
	full := filepath.Join(dir, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return fmt.Errorf("keeping %s: %w", path, err)
	}
	if err := os.WriteFile(full+".part", text, 0o644); err != nil {
		return fmt.Errorf("keeping %s: %w", path, err)
	}
	if err := os.Rename(full+".part", full); err != nil {
		return fmt.Errorf("keeping %s: %w", path, err)
	}
	return nil
}

// Growth is a proof that the log only grew.
type Growth struct {
	From       int64    `json:"from"`
	To         int64    `json:"to"`
	Proof      []string `json:"proof"` // base64
	Checkpoint string   `json:"checkpoint"`
}

// Growth asks for a proof that a tree of from entries is the beginning of the
// newest.
func (c *Client) Growth(ctx context.Context, from int64) (Growth, error) {
	var g Growth
	text, err := c.Get(ctx, "/log/consistency?from="+strconv.FormatInt(from, 10))
	if err != nil {
		return g, err
	}
	if err := json.Unmarshal(text, &g); err != nil {
		return g, fmt.Errorf("reading a proof: %w", err)
	}
	return g, nil
}

// Check checks the proof against the two trees.
func (g Growth) Check(older, newer ledger.Tree) error {
	p := make(tlog.TreeProof, 0, len(g.Proof))
	for _, text := range g.Proof {
		h, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(h) != tlog.HashSize {
			return fmt.Errorf("%w: the proof holds %q, which is no hash", audit.ErrFork, text)
		}
		p = append(p, tlog.Hash(h))
	}
	if err := tlog.CheckTree(p, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return fmt.Errorf("%w: %w", audit.ErrFork, err)
	}
	return nil
}
