package export

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"
)

// maxHeader bounds how much is read for the names of the columns, in bytes.
const maxHeader = 1 << 20

// Header reads the names of the columns from an artefact of size bytes: the first
// line of CSV, the first object of NDJSON, the schema of Parquet. An NDJSON
// artefact without rows names none. Errors wrap ErrUnsound.
func Header(r io.ReaderAt, size int64, f Format, c Compression) (names []string, err error) {
	defer func() {
		if p := recover(); p != nil { // as in parquetRows
			err = fmt.Errorf("%w: %v", ErrUnsound, p)
		}
	}()
	if f == Parquet {
		file, err := parquet.OpenFile(r, size)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnsound, err)
		}
		for _, column := range file.Schema().Columns() {
			names = append(names, column[0])
		}
		return names, nil
	}
	expanded, err := expand(bufio.NewReader(io.NewSectionReader(r, 0, size)), c)
	if err == nil {
		expanded = io.LimitReader(expanded, maxHeader)
		if f == CSV {
			names, err = csv.NewReader(expanded).Read()
		} else {
			names, err = memberNames(jsontext.NewDecoder(expanded))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading header: %w", ErrUnsound, err)
	}
	return names, nil
}

// memberNames lists the names of the first object.
func memberNames(d *jsontext.Decoder) ([]string, error) {
	names := []string{}
	if open, err := d.ReadToken(); errors.Is(err, io.EOF) {
		return names, nil
	} else if err != nil || open.Kind() != '{' {
		return nil, errors.Join(err, errors.New("the first line is no object"))
	}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, err
		}
		names = append(names, name.String())
		if err := d.SkipValue(); err != nil {
			return nil, err
		}
	}
	return names, nil
}
