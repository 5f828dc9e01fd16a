package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
)

//go:embed static/htmx.min.js static/console.js static/console.css static/icon.svg
var staticFS embed.FS

const staticPath = "/console/static/"

// files are the static files, by names that change with their content, so that a
// browser keeps them for ever and never has an old one.
type files struct {
	byName map[string]file   // console.0a1b2c3d4e5f.css
	names  map[string]string // console.css → console.0a1b2c3d4e5f.css
}

type file struct {
	contentType   string
	plain, zipped []byte
}

var contentTypes = map[string]string{
	".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
}

func readFiles() (*files, error) {
	entries, err := staticFS.ReadDir("static")
	if err != nil {
		return nil, err
	}
	out := &files{byName: map[string]file{}, names: map[string]string{}}
	for _, e := range entries {
		content, err := staticFS.ReadFile(path.Join("static", e.Name()))
		if err != nil {
			return nil, err
		}
		zipped, err := zip(content)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:6]) + ext
		out.names[e.Name()] = name
		out.byName[name] = file{contentTypes[ext], content, zipped}
	}
	return out, nil
}

func zip(content []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// path is where a file of the folder static is served.
func (f *files) path(name string) (string, error) {
	hashed, there := f.names[name]
	if !there {
		return "", fmt.Errorf("there is no static file %s", name)
	}
	return staticPath + hashed, nil
}

func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, there := f.byName[strings.TrimPrefix(r.URL.Path, staticPath)]
	if !there {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", found.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	content := found.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		content = found.zipped
	}
	if _, err := w.Write(content); err != nil {
		return // the browser went away
	}
}
