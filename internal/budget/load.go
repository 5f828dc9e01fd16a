package budget

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"time"

	"finobs/internal/yamldoc"

	"github.com/shopspring/decimal"
)

// maxFile bounds a budget file, in bytes.
const maxFile = 16 << 10

//go:embed default.yaml
var defaultFile []byte

// Default is the shipped budget.
func Default() Limits {
	limits, err := Load(bytes.NewReader(defaultFile))
	if err != nil {
		panic("budget: the shipped file: " + err.Error()) // a test reads it
	}
	return limits
}

// DefaultText is the shipped budget file.
func DefaultText() string { return string(defaultFile) }

type fileForm struct {
	Version  int        `yaml:"version"`
	Run      *limitForm `yaml:"run"`
	Incident *limitForm `yaml:"incident"`
	Desk     *limitForm `yaml:"desk"`
	Day      *limitForm `yaml:"day"`
}

type limitForm struct {
	Calls  *int64  `yaml:"calls"`
	Tokens *int64  `yaml:"tokens"`
	USD    *string `yaml:"usd"`
	Wall   *string `yaml:"wall"`
}

// Load reads a budget file, in which every level has every limit. Errors name the
// level and the limit, and say what is wanted.
func Load(r io.Reader) (Limits, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it is over %d bytes", maxFile)
	}
	var form fileForm
	if err == nil {
		err = yamldoc.Read(bytes.NewReader(text), &form)
	}
	if err == nil && form.Version != 1 {
		err = errors.New("version must be 1")
	}
	if err != nil {
		return nil, fmt.Errorf("reading budget: %w", err)
	}
	limits := Limits{}
	for level, f := range map[Level]*limitForm{Run: form.Run, Incident: form.Incident, Desk: form.Desk, Day: form.Day} {
		limit, bad := f.limit()
		if bad != nil {
			err = errors.Join(err, fmt.Errorf("reading budget: level %s: %w", level, bad))
		}
		limits[level] = limit
	}
	if err != nil {
		return nil, err
	}
	return limits, nil
}

func (f *limitForm) limit() (Limit, error) {
	if f == nil || f.Calls == nil || f.Tokens == nil || f.USD == nil || f.Wall == nil {
		return Limit{}, errors.New("want calls, tokens, usd and wall; 0 allows nothing")
	}
	if *f.Calls < 0 || *f.Tokens < 0 {
		return Limit{}, errors.New("calls and tokens must be 0 or more")
	}
	usd, err := amount(*f.USD)
	if err != nil {
		return Limit{}, fmt.Errorf("usd: %w", err)
	}
	wall, err := time.ParseDuration(*f.Wall)
	if err != nil || wall < 0 {
		return Limit{}, fmt.Errorf("wall: %q must be a duration such as 5m", *f.Wall)
	}
	return Limit{Calls: *f.Calls, Tokens: *f.Tokens, USD: usd, Wall: wall}, nil
}

// amount reads an amount of money. Its length is bounded, and exponents are
// refused, because 1e999999999 is short and takes all memory when added to.
func amount(s string) (decimal.Decimal, error) {
	d, err := decimal.NewFromString(s)
	if err != nil || len(s) > 20 || bytes.ContainsAny([]byte(s), "eE+- ") {
		return decimal.Decimal{}, fmt.Errorf("%.20q must be an amount of US dollars such as \"2.50\"", s)
	}
	return d, nil
}
