package pgbinary_test

import (
	"strings"
	"testing"

	"finobs/internal/pgbinary"
	"finobs/internal/pgtest"

	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// appendFinite is an append function of a type whose values may be infinite.
func appendFinite(f func(dst, b []byte) ([]byte, bool, error)) func(dst, b []byte) ([]byte, error) {
	return func(dst, b []byte) ([]byte, error) {
		out, finite, err := f(dst, b)
		if !finite && err == nil {
			return []byte("NULL"), nil
		}
		return out, err
	}
}

// forms are the types, with how the server itself writes one of their values.
var forms = map[string]struct {
	text   string
	append func(dst, b []byte) ([]byte, error)
	values []string
}{
	"numeric": {"$1::numeric::text", pgbinary.AppendNumeric, []string{
		"0", "-0", "0.00", "1", "-1", "9999", "10000", "10001", "100000000", "1e30", "-12.50", "0.0001", "0.00001", "0.000000000000000000012300",
		"1000000000000000000.5", "10000.0001", "NaN", "Infinity", "-Infinity", strings.Repeat("9", 400) + "." + strings.Repeat("7", 300), "1e-1000", "1e1000",
	}},
	"timestamptz": {`coalesce(to_char($1::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'NULL')`, appendFinite(pgbinary.AppendTimestamp), []string{
		"2000-01-01Z", "1999-12-31T23:59:59.999999Z", "1970-01-01Z", "0001-01-01Z", "0001-12-31 BC", "4713-01-02 BC", "9999-12-31T23:59:59.999999Z",
		"10000-01-01Z", "294276-12-31T23:59:59.999999Z", "2024-02-29T12:00:00.000001Z", "infinity", "-infinity",
	}},
	"date": {"coalesce(to_char($1::date, 'YYYY-MM-DD'), 'NULL')", appendFinite(pgbinary.AppendDate), []string{
		"2000-01-01", "1999-12-31", "2024-02-29", "0001-01-01", "0044-03-15 BC", "9999-12-31", "10000-01-01", "infinity", "-infinity",
	}},
	"bigint":  {"$1::bigint::text", pgbinary.AppendInteger, []string{"0", "-1", "9223372036854775807", "-9223372036854775808"}},
	"boolean": {"$1::boolean::text", pgbinary.AppendBool, []string{"true", "false"}},
}

// check compares with what the server writes of the same value.
func check(t interface{ Fatalf(string, ...any) }, ctx *testing.T, c *pgconn.PgConn, kind, value string) {
	read := func(expression string, format int16) []byte {
		r := c.ExecParams(ctx.Context(), "SELECT "+expression, [][]byte{[]byte(value)}, []uint32{25}, nil, []int16{format}).Read()
		if r.Err != nil {
			t.Fatalf("%s %q: %v", kind, value, r.Err)
		}
		return r.Rows[0][0]
	}
	want := string(read(forms[kind].text, 0))
	got, err := forms[kind].append([]byte("before "), read("$1::"+kind, 1))
	if err != nil || strings.TrimPrefix(string(got), "before ") != want {
		t.Fatalf("%s %q: got %q, %v; the server writes %q", kind, value, got, err, want)
	}
}

func connect(t *testing.T) *pgconn.PgConn {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), pgtest.New(t).Worker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(t.Context()) })
	return c
}

// Text of the binary form is what the server writes of the value.
func TestTextIsTheServers(t *testing.T) {
	c := connect(t)
	for kind, form := range forms {
		for _, value := range form.values {
			check(t, t, c, kind, value)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		check(rt, t, c, "numeric", rapid.StringMatching(`-?[0-9]{1,30}(\.[0-9]{1,30})?(e-?[0-9]{1,2})?`).Draw(rt, "numeric"))
		check(rt, t, c, "timestamptz", rapid.StringMatching(`[1-9][0-9]{3}-(0[1-9]|1[012])-(0[1-9]|1[0-9]|2[0-8]) ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}\+0[0-9]`).Draw(rt, "time"))
		check(rt, t, c, "date", rapid.StringMatching(`[1-9][0-9]{3}-(0[1-9]|1[012])-(0[1-9]|1[0-9]|2[0-8])`).Draw(rt, "date"))
	})
}

func TestMalformedIsRefused(t *testing.T) {
	for kind, b := range map[string]string{
		"numeric": "\x00\x01\x00\x00\x00\x00\x00\x00", "timestamptz": "1234567", "date": "12345", "bigint": "", "boolean": "\x02",
	} {
		if got, err := forms[kind].append(nil, []byte(b)); err == nil || !strings.Contains(err.Error(), "no binary") {
			t.Errorf("%s: got %q, %v", kind, got, err)
		}
	}
	for name, b := range map[string]string{
		"sign": "\x00\x00\x00\x00\x12\x34\x00\x00", "digit": "\x00\x01\x00\x00\x00\x00\x00\x00\x27\x10", "scale": "\x00\x00\x00\x00\x00\x00\xff\xff",
	} {
		if got, err := pgbinary.AppendNumeric(nil, []byte(b)); err == nil {
			t.Errorf("numeric with a wrong %s: got %q", name, got)
		}
	}
}

// Whatever arrives, nothing panics, and what was there before stays.
func FuzzAppend(f *testing.F) {
	f.Add([]byte("\x00\x02\x00\x01\x00\x00\x00\x02\x00\x01\x00\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for kind, form := range forms {
			if kind == "timestamptz" || kind == "date" {
				continue // they give NULL in place of an infinite value
			}
			if got, err := form.append([]byte("x"), b); err == nil && (len(got) < 2 || got[0] != 'x') {
				t.Errorf("%s of %x is %q", kind, b, got)
			}
		}
		if _, _, err := pgbinary.AppendTimestamp(nil, b); (err == nil) != (len(b) == 8) {
			t.Errorf("%d bytes as a time: %v", len(b), err)
		}
		if _, _, err := pgbinary.AppendDate(nil, b); (err == nil) != (len(b) == 4) {
			t.Errorf("%d bytes as a date: %v", len(b), err)
		}
	})
}
