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
// scale differs from row to row, which no decimal type of Parquet allows. A batch is
// gathered by column, as the library would do with rows.
type parquetEncoder struct {
	columns []Column
	w       *parquet.GenericWriter[any]
	batch   [][]parquet.Value // by column
	text    []byte            // what the batch's values point into
	bytes   int               // of the group
	rows    int               // of the group
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
	return &parquetEncoder{columns: d.Columns, w: parquet.NewGenericWriter[any](w, config), batch: make([][]parquet.Value, len(d.Columns))}, nil
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
	for i, c := range cells {
		if c == nil {
			e.batch[i] = append(e.batch[i], parquet.NullValue().Level(0, 0, i))
			continue
		}
		v, err := e.value(e.columns[i].Kind, c)
		if err != nil {
			return fmt.Errorf("column %s: %w", e.columns[i].Name, err)
		}
		e.batch[i] = append(e.batch[i], v.Level(0, 1, i))
		e.bytes += len(c)
	}
	e.rows++
	if len(e.batch[0]) == parquetBatch {
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
	for i, column := range e.w.ColumnWriters() {
		if len(e.batch[i]) > 0 {
			if _, err := column.WriteRowValues(e.batch[i]); err != nil {
				return err
			}
		}
		e.batch[i] = e.batch[i][:0]
	}
	e.text = e.text[:0]
	return nil
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

// value is the cell in the column's type. It is valid until the batch is written.
func (e *parquetEncoder) value(k Kind, c Cell) (parquet.Value, error) {
	switch k {
	case Integer:
		n, err := strconv.ParseInt(string(c), 10, 64)
		return parquet.Int64Value(n), err
	case Bool:
		b, err := strconv.ParseBool(string(c))
		return parquet.BooleanValue(b), err
	case Time:
		t, err := parseTime(c)
		return parquet.Int64Value(t.UnixMicro()), err
	case Date:
		t, err := parseDate(c)
		return parquet.Int32Value(int32(t.Unix() / (24 * 60 * 60))), err
	case Text, Word, JSON, Decimal:
	}
	from := len(e.text)
	e.text = append(e.text, c...)
	return parquet.ByteArrayValue(e.text[from:len(e.text):len(e.text)]), nil
}

// parseTime reads the form of Time. The usual length is read without time.Parse,
// which takes several times as long; the rest is left to that.
func parseTime(c Cell) (time.Time, error) {
	const usual = "2006-01-02T15:04:05.000000Z"
	if len(c) == len(usual) {
		day, ok := usualDay(c)
		hour, minute, second, micro := number(c[11:13]), number(c[14:16]), number(c[17:19]), number(c[20:26])
		if ok && hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 60 && micro >= 0 &&
			c[10] == 'T' && c[13] == ':' && c[16] == ':' && c[19] == '.' && c[26] == 'Z' {
			return day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second +
				time.Duration(micro)*time.Microsecond), nil
		}
	}
	return time.Parse(time.RFC3339, string(c))
}

// parseDate reads the form of Date.
func parseDate(c Cell) (time.Time, error) {
	if len(c) == len(time.DateOnly) {
		if day, ok := usualDay(c); ok {
			return day, nil
		}
	}
	return time.Parse(time.DateOnly, string(c))
}

// usualDay reads the day that begins c, of at least ten bytes, unless it is one that
// not every month has.
func usualDay(c Cell) (t time.Time, ok bool) {
	year, month, day := number(c[:4]), number(c[5:7]), number(c[8:10])
	if year < 0 || month < 1 || month > 12 || day < 1 || day > 28 || c[4] != '-' || c[7] != '-' {
		return t, false
	}
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC), true
}

// number reads digits; it is negative when there is anything else.
func number(c Cell) int {
	n := 0
	for _, x := range c {
		if x < '0' || x > '9' {
			return -1
		}
		n = 10*n + int(x-'0')
	}
	return n
}
