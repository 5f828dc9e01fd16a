package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"time"
)

// File is one file of a bundle.
type File struct {
	Name   string                            // a letter or digit, then up to 159 of these, '.', '_' and '-'
	Size   int64                             // bytes
	SHA256 string                            // of the bytes, hexadecimal
	Open   func() (io.ReadSeekCloser, error) // may be called several times
}

// Bundle is what is delivered: all files of one sealed export.
type Bundle struct {
	ExportID       int64  // names the folder at the destination
	Dataset        string // for people
	Rows           int64
	ContentSHA256  string    // identity of the data; for people
	ManifestSHA256 string    // identity of the manifest; for people
	SealedAt       time.Time // gives the year in the path and the Date of a mail
	Attempt        int       // 1 for the first
	Files          []File    // the data file first
	ManifestFile   string    // name of the file that comes last, and that every mail carries
	Link           string    // where people with permission fetch the export; may be empty
}

// Receipt says where a bundle lies. It is kept as JSON and given back to Fetch.
type Receipt struct {
	Ref        string   `json:"ref"`                  // the folder, s3://bucket/folder, or the Message-ID
	Objects    []Object `json:"objects,omitempty"`    // in the order of the bundle; of a mail what it carries
	Recipients int      `json:"recipients,omitempty"` // addresses that were taken
	Refused    []string `json:"refused,omitempty"`    // addresses that are wrong for good, while others were taken
	Linked     bool     `json:"linked,omitempty"`     // the mail carries a link and digests, not the data
}

// Object is one file at a destination.
type Object struct {
	Name           string    `json:"name"`          // that of the File
	Key            string    `json:"key,omitempty"` // path below the destination's folder, or key in the bucket
	Size           int64     `json:"size"`          // bytes
	SHA256         string    `json:"sha256"`        // hexadecimal
	VersionID      string    `json:"version_id,omitempty"`
	ChecksumSHA256 string    `json:"checksum_sha256,omitempty"` // as the S3 server states it: base64, with -N when of N parts
	RetainUntil    time.Time `json:"retain_until,omitzero"`     // Object Lock
}

// Destination is a place that exports are delivered to. It is safe for use by
// several goroutines.
type Destination interface {
	// Deliver takes a bundle there. Every error is an *Error.
	Deliver(ctx context.Context, b Bundle) (Receipt, error)

	// Fetch reads a file of a delivered bundle as it lies there now, unchecked:
	// comparing its digest is up to the caller. Errors, of the reader too, wrap
	// ErrMissing, ErrUnreachable or ErrUnreadable.
	Fetch(ctx context.Context, r Receipt, name string) (io.ReadCloser, error)

	// Repeatable reports whether delivering again does no harm after an attempt
	// whose end is not known.
	Repeatable() bool

	// Describe says where the destination is.
	Describe() Description
}

// Description says where a destination is and who gets what is delivered there.
type Description struct {
	Type     string // file, s3 or smtp
	Settings string // lines of "name: value"; no secret, and no limit of time or size of a request
}

// Digest is the SHA-256 of the description, in hexadecimal. What was approved for
// one digest is not approved for another.
func (d Description) Digest() string {
	sum := sha256.Sum256([]byte("type: " + d.Type + "\n" + d.Settings))
	return hex.EncodeToString(sum[:])
}

const fileName = `[a-zA-Z0-9][a-zA-Z0-9._-]{0,159}`

var (
	nameForm   = regexp.MustCompile(`^` + fileName + `$`)
	keyForm    = regexp.MustCompile(`^exports/[0-9]{4}/[1-9][0-9]{0,18}/` + fileName + `$`)
	digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// check refuses what no destination can carry.
func (b *Bundle) check() error {
	switch {
	case b.ExportID < 1:
		return failed(false, nil, "the bundle's export ID is %d; want 1 or more", b.ExportID)
	case b.Attempt < 1:
		return failed(false, nil, "the bundle's attempt is %d; want 1 or more", b.Attempt)
	case b.SealedAt.Year() < 1 || b.SealedAt.Year() > 9999 || b.SealedAt.IsZero():
		return failed(false, nil, "the bundle does not say when it was sealed")
	}
	seen := map[string]bool{}
	for _, f := range b.Files {
		switch {
		case !nameForm.MatchString(f.Name):
			return failed(false, nil, "the bundle's file %q: want a name of letters, digits, '.', '_' and '-' that begins with a letter or digit", f.Name)
		case seen[f.Name]:
			return failed(false, nil, "the bundle has two files %s", f.Name)
		case !digestForm.MatchString(f.SHA256):
			return failed(false, nil, "the bundle's file %s has the SHA-256 %q; want 64 small hexadecimal digits", f.Name, f.SHA256)
		case f.Size < 0 || f.Open == nil:
			return failed(false, nil, "the bundle's file %s has no size or cannot be opened", f.Name)
		}
		seen[f.Name] = true
	}
	if !seen[b.ManifestFile] {
		return failed(false, nil, "the bundle does not hold its manifest %q", b.ManifestFile)
	}
	return nil
}

// folder is where the bundle lies at a destination.
func (b *Bundle) folder() string {
	return path.Join("exports", fmt.Sprintf("%04d", b.SealedAt.UTC().Year()), strconv.FormatInt(b.ExportID, 10))
}

// each carries every file of the bundle, the manifest last, so that nobody sees a
// manifest before what it vouches for. The result is in the order of the bundle.
func (b *Bundle) each(carry func(File) (Object, error)) ([]Object, error) {
	objects := make([]Object, len(b.Files))
	for _, manifest := range []bool{false, true} {
		for i, f := range b.Files {
			if (f.Name == b.ManifestFile) != manifest {
				continue
			}
			var err error
			if objects[i], err = carry(f); err != nil {
				return nil, err
			}
		}
	}
	return objects, nil
}

// object finds a file by its name, and checks that its key lies below prefix and
// is one that Deliver makes.
func (r *Receipt) object(prefix, name string) (Object, error) {
	for _, o := range r.Objects {
		if o.Name != name {
			continue
		}
		if len(o.Key) < len(prefix) || o.Key[:len(prefix)] != prefix || !keyForm.MatchString(o.Key[len(prefix):]) || path.Base(o.Key) != name {
			return Object{}, fmt.Errorf("%w: the receipt says %s lies at %q, which is no place of this destination", ErrMissing, name, o.Key)
		}
		return o, nil
	}
	return Object{}, fmt.Errorf("%w: the receipt names no file %q", ErrMissing, name)
}
