package seal_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strconv"
	"testing"

	"finobs/internal/export"
	"finobs/internal/ledger"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// cells is a row; no two of one export are the same.
func cells(d export.Dataset, id int64, i int) []export.Cell {
	var row []export.Cell
	for n, c := range d.Columns {
		text := map[export.Kind]string{
			export.Text: fmt.Sprintf("=row %d, of %d", i, id), export.Word: "open", export.JSON: fmt.Sprintf(`{"n":"%d"}`, i),
			export.Integer: strconv.Itoa(i + 1), export.Decimal: fmt.Sprintf("-%d.50", i), export.Time: "2026-03-01T08:00:00.000001Z",
			export.Date: "2026-03-01", export.Bool: "true",
		}[c.Kind]
		if (i+n)%7 == 3 {
			row = append(row, nil)
			continue
		}
		row = append(row, export.Cell(text))
	}
	return row
}

func write(t testing.TB, s export.Spec, rows [][]export.Cell) ([]byte, export.Totals) {
	t.Helper()
	var b bytes.Buffer
	w, err := export.NewWriter(&b, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if err := w.Row(row); err != nil {
			t.Fatal(err)
		}
	}
	totals, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), totals
}

// logOf is a small log.
type logOf struct {
	t      testing.TB
	signer note.Signer
	tree   ledger.Tree
	tiles  map[tlog.Tile][]byte
}

func newLog(t testing.TB, signer note.Signer, size int) *logOf {
	l := &logOf{t: t, signer: signer, tree: ledger.Tree{Root: sha256.Sum256(nil)}, tiles: map[tlog.Tile][]byte{}}
	for i := range size {
		l.add(filler(i))
	}
	return l
}

func filler(i int) []byte { return fmt.Appendf(nil, `{"n":"%d"}`, i) }

func (l *logOf) read(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, w := range want {
		out[i] = l.tiles[tlog.Tile{H: ledger.TileHeight, L: w.L, N: w.N}]
	}
	return out, nil
}

func (l *logOf) add(leaf []byte) {
	l.t.Helper()
	grown, changed, err := ledger.Grow(l.tree, []tlog.Hash{ledger.LeafHash(leaf)}, l.read)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, c := range changed {
		l.tiles[tlog.Tile{H: ledger.TileHeight, L: c.Level, N: c.N}] = c.Hashes
	}
	l.tree = grown
}

func (l *logOf) checkpoint() []byte {
	l.t.Helper()
	text, err := ledger.SignCheckpoint(origin, l.tree, l.signer)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

func (l *logOf) prove(index int64) []byte {
	l.t.Helper()
	text, err := ledger.ProveLeaf(l.tree, index, l.checkpoint(), l.read)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}
