package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
)

// source reads a file of a bundle and, at its end, compares its size and digest
// with the sealed ones. Who reads it to the end without an error has carried the
// sealed bytes.
type source struct {
	ctx  context.Context // io.Reader has no other way to end early
	of   File
	file io.ReadSeekCloser
	sum  hash.Hash
	read int64
	err  *Error // of the source, not of where it is carried to
}

// open opens a file of a bundle. The error is an *Error.
func open(ctx context.Context, f File) (*source, error) {
	file, err := f.Open()
	if err != nil {
		retry := !errors.Is(err, fs.ErrNotExist)
		return nil, failed(retry, err, "opening %s of the export: %v", f.Name, err)
	}
	return &source{ctx: ctx, of: f, file: file, sum: sha256.New()}, nil
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.file.Read(p)
	s.sum.Write(p[:n])
	s.read += int64(n)
	switch {
	case s.read > s.of.Size:
		s.err = s.damaged(fmt.Sprintf("it has more than %d bytes", s.of.Size))
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		s.err = failed(true, err, "reading %s of the export: %v", s.of.Name, err)
	case s.read < s.of.Size:
		s.err = s.damaged(fmt.Sprintf("it has %d bytes, not %d", s.read, s.of.Size))
	case hex.EncodeToString(s.sum.Sum(nil)) != s.of.SHA256:
		s.err = s.damaged(fmt.Sprintf("its SHA-256 is %x, not %s", s.sum.Sum(nil), s.of.SHA256))
	default:
		return n, io.EOF
	}
	return n, s.err
}

func (s *source) damaged(how string) *Error {
	return failed(false, nil, "%s of the export is damaged where the export is kept: %s; nothing of it was delivered; restore the file from a backup or another destination", s.of.Name, how)
}

// Close releases the file.
func (s *source) Close() error { return s.file.Close() }

// digest reads to the end and returns the SHA-256 in hexadecimal.
func digest(ctx context.Context, r io.Reader) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, &untilDone{ctx, r}); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context // io.Reader has no other way to end early
	r   io.Reader
}

// Read implements io.Reader.
func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
