package api

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"finobs/internal/fault"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json/jsontext"
)

// ingestPath is the route of sources, as gin writes it.
const ingestPath = "/ingest/:source"

const (
	maxBody  = 1 << 20 // bytes of a JSON body
	maxDepth = 16      // nested objects and arrays
)

// strictQuery refuses parameters that no database keeps as text, and queries that
// two parsers could read differently.
func strictQuery(c *gin.Context) {
	values, err := url.ParseQuery(c.Request.URL.RawQuery)
	if err != nil {
		abort(c, fault.Wrap(err, fault.Invalid, "invalid-query", "the query string cannot be read: %v", err))
		return
	}
	for name, list := range values {
		if len(list) > 1 {
			abort(c, fault.New(fault.Invalid, "invalid-query", "query parameter %q is given %d times", name, len(list)))
			return
		}
		if !utf8.ValidString(list[0]) || strings.ContainsRune(list[0], 0) {
			abort(c, fault.New(fault.Invalid, "invalid-query", "query parameter %q is not valid UTF-8 or holds a NUL character", name))
			return
		}
	}
}

// strictJSON refuses JSON that two parsers could read differently: duplicate
// keys, invalid UTF-8, trailing data, and nesting beyond use. Unknown and
// case-folded keys are refused by the schema of each operation.
func strictJSON(c *gin.Context) {
	media, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || media != "application/json" || c.FullPath() == ingestPath { // which reads bodies by rules of their own
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		abort(c, fault.New(fault.TooLarge, "body-too-large", "the body is over the limit of %d bytes", maxBody))
		return
	case err != nil:
		abort(c, fault.Wrap(err, fault.Invalid, "body-unreadable", "the body could not be read"))
		return
	}
	if err := checkJSON(body); err != nil {
		abort(c, fault.Wrap(err, fault.Invalid, "invalid-json", "the body is not strict JSON: %v", err))
		return
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
}

func checkJSON(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil // huma says which body it wants
	}
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if token.Kind() == '"' && strings.ContainsRune(token.String(), 0) {
			return errors.New("a string holds a NUL character, which the database cannot keep")
		}
		if dec.StackDepth() > maxDepth {
			return errors.New("it is nested too deeply")
		}
		if dec.StackDepth() == 0 {
			if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
				return errors.New("it has more than one value")
			}
			return nil
		}
	}
}
