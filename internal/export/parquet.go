package export

import (
	"fmt"
	"io"
	"reflect"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
)

// rowGroupBytes and rowGroupRows bound what is held in memory before a group of
// rows is written.
const (
	rowGroupBytes = 8 << 20
	rowGroupRows  = 50_000
	parquetBatch  = 64
)

// parquetEncoder writes Apache Parquet. Decimals are text with every digit: their
// scale differs from row to row, which no decimal type of Parquet allows.
type parquetEncoder struct {
	columns []Column
	w       *parquet.GenericWriter[any]
	batch   []parquet.Row
	bytes   int
	rows    int
}

func newParquet(w io.Writer, d Dataset, c Compression) (*parquetEncoder, error) {
	options := []parquet.WriterOption{
		parquetSchema(d), parquet.CreatedBy("finobs", "", ""), parquet.PageBufferSize(64 << 10), parquet.WriteBufferSize(64 << 10),
		parquet.KeyValueMetadata("finobs.dataset", d.Name+"/"+d.Version),
	}
	switch c {
	case Gzip:
		options = append(options, parquet.Compression(&parquet.Gzip))
	case Zstd:
		options = append(options, parquet.Compression(&parquet.Zstd))
	case Plain:
	}
	config, err := parquet.NewWriterConfig(options...)
	if err != nil {
		return nil, fmt.Errorf("setting up Parquet: %w", err)
	}
	return &parquetEncoder{columns: d.Columns, w: parquet.NewGenericWriter[any](w, config)}, nil
}

// parquetSchema keeps the columns in the dataset's order, which is why it goes by
// way of a struct.
func parquetSchema(d Dataset) *parquet.Schema {
	fields := make([]reflect.StructField, 0, len(d.Columns))
	for i, c := range d.Columns {
		typ, tag := reflect.TypeFor[*string](), ""
		switch c.Kind {
		case Integer:
			typ = reflect.TypeFor[*int64]()
		case Bool:
			typ = reflect.TypeFor[*bool]()
		case Time:
			typ, tag = reflect.TypeFor[*int64](), ",timestamp(microsecond)"
		case Date:
			typ, tag = reflect.TypeFor[*int32](), ",date"
		case JSON:
			tag = ",json"
		case Text, Word, Decimal:
		}
		fields = append(fields, reflect.StructField{
			Name: "C" + strconv.Itoa(i), Type: typ, Tag: reflect.StructTag(`parquet:"` + c.Name + `,optional` + tag + `"`),
		})
	}
	return parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface())
}

func (e *parquetEncoder) row(cells []Cell) error {
	row := make(parquet.Row, 0, len(cells))
	for i, c := range cells {
		if c == nil {
			row = append(row, parquet.NullValue().Level(0, 0, i))
			continue
		}
		v, err := parquetValue(e.columns[i].Kind, c)
		if err != nil {
			return fmt.Errorf("column %s: %w", e.columns[i].Name, err)
		}
		row = append(row, v.Level(0, 1, i))
		e.bytes += len(c)
	}
	e.batch = append(e.batch, row)
	e.rows++
	if len(e.batch) == parquetBatch {
		if err := e.spill(); err != nil {
			return err
		}
	}
	if e.bytes >= rowGroupBytes || e.rows >= rowGroupRows {
		return e.endGroup()
	}
	return nil
}

func (e *parquetEncoder) spill() error {
	if len(e.batch) == 0 {
		return nil
	}
	_, err := e.w.WriteRows(e.batch)
	clear(e.batch)
	e.batch = e.batch[:0]
	return err
}

func (e *parquetEncoder) endGroup() error {
	if err := e.spill(); err != nil {
		return err
	}
	e.bytes, e.rows = 0, 0
	return e.w.Flush()
}

func (e *parquetEncoder) close() error {
	if err := e.spill(); err != nil {
		return err
	}
	return e.w.Close()
}

func parquetValue(k Kind, c Cell) (parquet.Value, error) {
	text := string(c)
	switch k {
	case Integer:
		n, err := strconv.ParseInt(text, 10, 64)
		return parquet.Int64Value(n), err
	case Bool:
		b, err := strconv.ParseBool(text)
		return parquet.BooleanValue(b), err
	case Time:
		t, err := time.Parse(time.RFC3339, text)
		return parquet.Int64Value(t.UnixMicro()), err
	case Date:
		t, err := time.Parse(time.DateOnly, text)
		return parquet.Int32Value(int32(t.Unix() / (24 * 60 * 60))), err
	case Text, Word, JSON, Decimal:
	}
	return parquet.ByteArrayValue([]byte(text)), nil
}
