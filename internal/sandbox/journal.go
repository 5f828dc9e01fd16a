package sandbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// journal is the durable record: one JSON line for each change, on disk before
// anybody hears of it.
type journal struct{ file *os.File } // nil file: nothing is kept

// line is one change, and whole or not there: an effect and the object as it left
// it are in one line, and so are all objects of a seed.
type line struct {
	Seed   []Object `json:"seed,omitempty"`
	Effect *effect  `json:"effect,omitempty"`
	Object *held    `json:"object,omitempty"`
}

// openJournal replays a state file and opens it for more. The last line may be
// half-written by a process that died; it was never answered, and goes.
func openJournal(path string, replay func(line) error) (*journal, error) {
	if path == "" {
		return &journal{}, nil
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	whole, err := readLines(file, replay)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return &journal{file: file}, nil
}

// readLines replays whole lines, and returns how many bytes they are.
func readLines(r io.Reader, replay func(line) error) (int64, error) {
	in := bufio.NewReader(r)
	var whole int64
	for number := 1; ; number++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return 0, err
		}
		var l line
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&l); err != nil {
			return 0, fmt.Errorf("line %d is no record of a sandbox: %w", number, err)
		}
		if err := replay(l); err != nil {
			return 0, fmt.Errorf("line %d: %w", number, err)
		}
		whole += int64(len(text))
	}
}

// append writes lines and waits until they are on disk.
func (j *journal) append(lines ...line) error {
	if j.file == nil || len(lines) == 0 {
		return nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	for _, l := range lines {
		if err := encoder.Encode(l); err != nil {
			return err
		}
	}
	if _, err := j.file.Write(text.Bytes()); err != nil {
		return err
	}
	return j.file.Sync()
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}
