package seal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"

	"finobs/internal/export"
)

// artefactName is what export.FileName writes.
var artefactName = regexp.MustCompile(`^[a-z_]+-[0-9]+-[0-9a-f]{64}\.[a-z.]+$`)

// slack is how far beyond its sealed size a changed content is expanded, to say
// what became of it, in bytes.
const slack = 1 << 20

// artefact checks the rows against the manifest.
func (v *verification) artefact() error {
	p := v.report.Statement.Predicate
	name := v.report.Statement.Subject[0].Name
	file, size, err := v.files.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return flawed(export.Missing, "artefact_missing", "%s is not in the bundle", name)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	digest := ""
	if size >= p.FileBytes {
		if digest, err = digestOf(file, p.FileBytes); err != nil {
			return err
		}
	}
	switch {
	case digest != p.FileSHA256:
		return v.changed(file, size)
	case size > p.FileBytes:
		return tampered("appended", "%d bytes follow the artefact", size-p.FileBytes)
	}
	if err := v.asSealed(file); err != nil {
		return err
	}
	v.held("artefact", "%d rows, %d bytes, content SHA-256 %s", p.Rows, p.FileBytes, p.ContentSHA256)
	return nil
}

// asSealed checks that the file that was sealed is what the manifest says of it.
func (v *verification) asSealed(file io.ReaderAt) error {
	p := v.report.Statement.Predicate
	format, compression := export.Format(p.Format), export.Compression(p.Compression)
	want := export.Totals{
		Rows: p.Rows, ContentBytes: p.ContentBytes, ContentSHA256: p.ContentSHA256, FileBytes: p.FileBytes, FileSHA256: p.FileSHA256,
	}
	found, err := export.Inspect(file, p.FileBytes, format, compression, p.ContentBytes)
	v.report.Found = found
	if err != nil && !errors.Is(err, export.ErrUnsound) {
		return err
	}
	if err != nil || found != want {
		return tampered("content", "the file is the one that was sealed, and not what its manifest says: %d rows of %d (%v)", found.Rows, p.Rows, err)
	}
	names, err := export.Header(file, p.FileBytes, format, compression)
	if err != nil {
		return tampered("content", "the columns cannot be read: %v", err)
	}
	if (len(names) > 0 || p.Rows > 0) && !slices.Equal(names, p.export().Columns) {
		return tampered("columns", "the file has the columns %q, its manifest says %q", names, p.export().Columns)
	}
	return nil
}

// changed says what became of a file that is not the one that was sealed. It is
// the best guess that the file allows: the one that was sealed is not at hand.
func (v *verification) changed(file io.ReaderAt, size int64) error {
	p := v.report.Statement.Predicate
	format, compression := export.Format(p.Format), export.Compression(p.Compression)
	found, err := examine(file, size, p)
	v.report.Found = found
	if err != nil && !errors.Is(err, export.ErrUnsound) {
		return err
	}
	sound := err == nil
	fewer := fmt.Sprintf("%d rows of %d are there, in %d bytes of %d", found.Rows, p.Rows, size, p.FileBytes)
	switch {
	case size == 0:
		return tampered("truncated", "the file is empty")
	case sound && format != export.Parquet && found.ContentSHA256 == p.ContentSHA256:
		return tampered("recompressed", "the content is the one that was sealed, compressed in another way")
	case sound && v.ofAnotherDataset(file, size, format, compression):
		return tampered("swapped", "the file is of another dataset")
	case sound && found.Rows < p.Rows, !sound && size < p.FileBytes, sound && found.ContentBytes < p.ContentBytes && !endsWithLine(file, size, p):
		return tampered("truncated", "%s", fewer)
	case sound && found.Rows > p.Rows:
		return tampered("appended", "%d rows are there, %d were sealed", found.Rows, p.Rows)
	}
	return tampered("content", "the content is not the one that was sealed (%s)", fewer)
}

// examine looks into a changed file. Readers of Parquet allot what a file asks
// them to, so such a file is only asked for its number of rows.
func examine(file io.ReaderAt, size int64, p Predicate) (export.Totals, error) {
	if p.Format != string(export.Parquet) {
		return export.Inspect(file, size, export.Format(p.Format), export.Compression(p.Compression), 2*p.ContentBytes+slack)
	}
	rows, err := footerRows(file, size)
	if err != nil {
		err = fmt.Errorf("%w: %w", export.ErrUnsound, err)
	}
	return export.Totals{Rows: rows, FileBytes: size, ContentBytes: size}, err
}

// ofAnotherDataset reports whether a text has exactly the columns of another
// dataset than the one that was sealed.
func (v *verification) ofAnotherDataset(file io.ReaderAt, size int64, f export.Format, c export.Compression) bool {
	if f == export.Parquet {
		return false
	}
	names, err := export.Header(file, size, f, c)
	if err != nil || slices.Equal(names, v.report.Statement.Predicate.export().Columns) {
		return false
	}
	return slices.ContainsFunc(export.Datasets(), func(d export.Dataset) bool { return slices.Equal(names, d.ColumnNames()) })
}

// endsWithLine reports whether an uncompressed text ends as each text does that was
// sealed. Others are sound only to their end.
func endsWithLine(file io.ReaderAt, size int64, p Predicate) bool {
	if p.Compression != string(export.Plain) || p.Format == string(export.Parquet) {
		return true
	}
	last := make([]byte, 1)
	_, err := file.ReadAt(last, size-1)
	return (err == nil || errors.Is(err, io.EOF)) && last[0] == '\n'
}

// digestOf is the SHA-256 of the first size bytes, hexadecimal.
func digestOf(file io.ReaderAt, size int64) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(file, 0, size)); err != nil {
		return "", fmt.Errorf("reading artefact: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
