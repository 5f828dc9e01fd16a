package seal_test

import (
	"bytes"
	"testing"

	"finobs/internal/export"
	"finobs/internal/seal"
)

// FuzzVerify changes an archive. Whatever it holds, it is refused, without a panic,
// unless it holds exactly the files that were sealed.
func FuzzVerify(f *testing.F) {
	s := newSite(f)
	var good []made
	for _, format := range formats {
		m := s.export(order{id: 7, format: format, compression: export.Gzip, rows: 2})
		good = append(good, m)
		f.Add(packed(f, m.files.members("")...))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		archive, err := seal.TarOf(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		if _, found := seal.Verify(archive, s.trust); found.Verdict == export.Verified && !one(archive, good) {
			t.Errorf("accepted: %+v", found)
		}
	})
}

// one reports whether an archive holds the files of one of the bundles, and no
// others.
func one(archive *seal.Archive, good []made) bool {
	names, err := archive.Names()
	for _, m := range good {
		same := err == nil && len(names) == len(m.files)
		for name, want := range m.files {
			file, size, err := archive.Open(name)
			if err != nil || size != int64(len(want)) {
				same = false
				continue
			}
			got := make([]byte, size)
			if n, _ := file.ReadAt(got, 0); n != len(got) || !bytes.Equal(got, want) {
				same = false
			}
		}
		if same {
			return true
		}
	}
	return false
}
