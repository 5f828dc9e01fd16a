package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"finobs/internal/fault"
	"finobs/internal/ledger"
	"finobs/internal/store"

	"github.com/gin-gonic/gin"
	"golang.org/x/mod/sumdb/tlog"
)

// checkpoint serves the newest signed statement of the tree (C2SP
// tlog-checkpoint). It says nothing about what is in the log.
func (s *Server) checkpoint(c *gin.Context) {
	text, err := s.Reader.Checkpoint(c.Request.Context(), 0)
	if err != nil {
		abort(c, err)
		return
	}
	c.Data(http.StatusOK, "text/plain; charset=utf-8", text)
}

// logKeys serves the verifier keys that the log is signed with, one a line. Who
// verifies takes them from elsewhere, once, and compares.
func (s *Server) logKeys(c *gin.Context) {
	state, err := s.Reader.Sequencer(c.Request.Context())
	if err != nil {
		abort(c, err)
		return
	}
	c.String(http.StatusOK, "%s\n", state.Keys)
}

// tile serves tiles and entry bundles (C2SP tlog-tiles).
func (s *Server) tile(c *gin.Context) {
	ctx := c.Request.Context()
	t, err := parseTile(c.Param("path"))
	if err != nil {
		abort(c, err)
		return
	}
	tree, err := s.Reader.Tree(ctx)
	if err == nil {
		err = within(t, tree)
	}
	if err != nil {
		abort(c, err)
		return
	}
	if t.W == ledger.TileWidth { // it never changes again
		c.Header("Cache-Control", "private, max-age=31536000, immutable")
	}
	var data []byte
	if t.L < 0 {
		s.recordRead(ctx, "GET /log/tile/entries", "entries of the log were read")
		data, err = s.bundle(ctx, t)
	} else {
		data, err = s.hashes(ctx, t)
	}
	if err != nil {
		abort(c, err)
		return
	}
	c.Data(http.StatusOK, "application/octet-stream", data)
}

// parseTile reads L/N and entries/N, with .p/W for a partial tile.
func parseTile(path string) (tlog.Tile, error) {
	path = strings.TrimPrefix(path, "/")
	if rest, entries := strings.CutPrefix(path, "entries/"); entries {
		path = "data/" + rest
	}
	t, err := tlog.ParseTilePath("tile/8/" + path)
	if err != nil {
		return t, fault.New(fault.NotFound, "no-such-tile", "%q names no tile of height 8; see https://c2sp.org/tlog-tiles", path)
	}
	return t, nil
}

// within refuses tiles that the tree does not fill.
func within(t tlog.Tile, tree ledger.Tree) error {
	level := max(t.L, 0)
	if have := tree.Size>>(ledger.TileHeight*level) - t.N<<ledger.TileHeight; have < int64(t.W) {
		return fault.New(fault.NotFound, "no-such-tile", "the log has %d leaves, too few for this tile", tree.Size)
	}
	return nil
}

func (s *Server) hashes(ctx context.Context, t tlog.Tile) ([]byte, error) {
	data, err := s.Reader.Tiles(ctx)([]tlog.Tile{t})
	if err != nil {
		return nil, err
	}
	if len(data[0]) < t.W*tlog.HashSize {
		return nil, fault.New(fault.Gone, "tile-missing", "tile %d/%d is missing from the database", t.L, t.N)
	}
	return data[0][:t.W*tlog.HashSize], nil
}

// entriesOf reads the entries of a bundle; one that is missing is an error that
// names its index.
func (s *Server) entriesOf(ctx context.Context, t tlog.Tile) ([]store.LogEntry, error) {
	first := t.N * ledger.TileWidth
	rows, err := s.Reader.Log(ctx, store.LogFilter{After: first, Before: first + int64(t.W)}, t.W)
	if err != nil {
		return nil, err
	}
	for i := range t.W {
		index := first + int64(i)
		if i >= len(rows) || rows[i].Index != index || rows[i].Leaf == nil {
			return nil, fault.New(fault.Gone, "leaf-missing", "the entry at index %d is missing from the ledger", index)
		}
	}
	return rows, nil
}

func (s *Server) bundle(ctx context.Context, t tlog.Tile) ([]byte, error) {
	rows, err := s.entriesOf(ctx, t)
	if err != nil {
		return nil, err
	}
	var out []byte
	for _, row := range rows {
		out = binary.BigEndian.AppendUint16(out, uint16(len(row.Leaf)))
		out = append(out, row.Leaf...)
	}
	return out, nil
}

// projection serves the readable columns of a bundle's entries, one JSON object a
// line, for whoever compares them with the leaves.
func (s *Server) projection(c *gin.Context) {
	ctx := c.Request.Context()
	t, err := parseTile("entries" + c.Param("path"))
	var tree ledger.Tree
	if err == nil {
		tree, err = s.Reader.Tree(ctx)
	}
	if err == nil {
		err = within(t, tree)
	}
	var rows []store.LogEntry
	if err == nil {
		s.recordRead(ctx, "GET /log/projection", "columns of the log were read")
		rows, err = s.entriesOf(ctx, t)
	}
	if err != nil {
		abort(c, err)
		return
	}
	c.Header("Content-Type", "application/x-ndjson")
	c.Status(http.StatusOK)
	enc := json.NewEncoder(c.Writer)
	for _, row := range rows {
		if err := enc.Encode(row); err != nil {
			s.log.WarnContext(ctx, "projection not sent in full", "error", err)
			return
		}
	}
}

type indexInput struct {
	Index int64 `path:"index" minimum:"0"`
}

type rawOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// leaf serves the exact bytes that are hashed.
func (s *Server) leaf(ctx context.Context, in *indexInput) (*rawOutput, error) {
	row, err := s.Reader.LogEntryAt(ctx, in.Index)
	if err != nil {
		return nil, err
	}
	s.recordRead(ctx, "GET /audit/:index/leaf", "an entry of the log was read")
	return &rawOutput{"application/json", row.Leaf}, nil
}

// leafProof serves a proof that an entry is in the log (C2SP tlog-proof).
func (s *Server) leafProof(ctx context.Context, in *indexInput) (*rawOutput, error) {
	text, tree, err := s.signedTree(ctx, in.Index+1)
	if err != nil {
		return nil, err
	}
	p, err := ledger.ProveLeaf(tree, in.Index, text, s.Reader.Tiles(ctx))
	if err != nil {
		return nil, err
	}
	return &rawOutput{"text/plain; charset=utf-8", p}, nil
}

// signedTree is the tree of the newest checkpoint that covers so many leaves.
func (s *Server) signedTree(ctx context.Context, atLeast int64) ([]byte, ledger.Tree, error) {
	tree, err := s.Reader.Tree(ctx)
	if err != nil {
		return nil, tree, err
	}
	text, err := s.Reader.Checkpoint(ctx, atLeast)
	if err != nil {
		if tree.Size >= atLeast { // it is there and will be signed in a moment
			return nil, tree, fault.New(fault.Unavailable, "not-signed-yet", "no checkpoint covers %d leaves yet; try again", atLeast)
		}
		return nil, tree, fault.New(fault.NotFound, "no-such-leaf", "the log has %d leaves", tree.Size)
	}
	_, signed, err := ledger.PeekCheckpoint(text)
	return text, signed, err
}

type consistencyInput struct {
	From int64 `query:"from" minimum:"1" required:"true" doc:"size of the earlier tree"`
	To   int64 `query:"to" minimum:"0" doc:"size of the later tree, one of a checkpoint; default: the newest"`
}

type consistencyView struct {
	From       int64    `json:"from"`
	To         int64    `json:"to"`
	Proof      []string `json:"proof" doc:"hashes in base64, in the order of RFC 6962, section 2.1.2"`
	Checkpoint string   `json:"checkpoint" doc:"of the later tree"`
}

// consistency proves that the log only grew.
func (s *Server) consistency(ctx context.Context, in *consistencyInput) (*body[consistencyView], error) {
	text, tree, err := s.signedTree(ctx, max(in.From, in.To))
	if err != nil {
		return nil, err
	}
	if in.To != 0 && in.To != tree.Size {
		if text, err = s.Reader.CheckpointOf(ctx, in.To); err != nil {
			return nil, err
		}
		if _, tree, err = ledger.PeekCheckpoint(text); err != nil {
			return nil, err
		}
	}
	hashes, err := ledger.ProveGrowth(in.From, tree, s.Reader.Tiles(ctx))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "invalid-query", "%v", err)
	}
	v := consistencyView{From: in.From, To: tree.Size, Proof: []string{}, Checkpoint: string(text)}
	for _, h := range hashes {
		v.Proof = append(v.Proof, base64.StdEncoding.EncodeToString(h[:]))
	}
	return &body[consistencyView]{v}, nil
}

type logStatusView struct {
	Holder     string     `json:"holder" doc:"the sequencer that writes"`
	BeatAt     *time.Time `json:"beat_at" doc:"its last sign of life"`
	Refused    string     `json:"refused" doc:"why it does not sign; empty while it does"`
	Size       int64      `json:"size" doc:"entries that have their places"`
	SignedSize int64      `json:"signed_size" doc:"entries that the newest checkpoint covers"`
	Sinks      []sinkView `json:"sinks"`
}

type sinkView struct {
	Name      string          `json:"name"`
	Acked     int64           `json:"acked" doc:"first index that it has not acknowledged"`
	Behind    int64           `json:"behind" doc:"entries that it has not acknowledged"`
	UpdatedAt time.Time       `json:"updated_at"`
	Status    json.RawMessage `json:"status" doc:"as the feeder last said: sent, connected, lossy, last_error, last_success"`
}

// logStatus says how the sequencer and the sinks are doing.
func (s *Server) logStatus(ctx context.Context, _ *nothing) (*body[logStatusView], error) {
	state, err := s.Reader.Sequencer(ctx)
	if err != nil {
		return nil, err
	}
	sinks, err := s.Reader.Sinks(ctx)
	if err != nil {
		return nil, err
	}
	v := logStatusView{Holder: state.Holder, BeatAt: state.BeatAt, Refused: state.Refused, Size: state.Size, Sinks: []sinkView{}}
	if state.SignedSize != nil {
		v.SignedSize = *state.SignedSize
	}
	for _, sink := range sinks {
		v.Sinks = append(v.Sinks, sinkView{sink.Name, sink.Acked, max(0, state.Size-sink.Acked), sink.UpdatedAt.UTC(), sink.Status})
	}
	return &body[logStatusView]{v}, nil
}
