package export

import "io"

// behind writes each piece while its caller makes the next one: a second processor
// digests and compresses. One piece is under way at a time, so that they stay in
// order, and no goroutine outlives the piece that it writes.
type behind struct {
	w     io.Writer
	piece []byte     // under way, or free after wait
	done  chan error // of the piece under way; nil: there is none
}

// Write implements io.Writer. It keeps no hold of p. The error is that of an earlier
// piece.
func (b *behind) Write(p []byte) (int, error) {
	if err := b.wait(); err != nil {
		return 0, err
	}
	b.piece = append(b.piece[:0], p...)
	b.done = make(chan error, 1)
	go func() {
		_, err := b.w.Write(b.piece)
		b.done <- err
	}()
	return len(p), nil
}

// wait returns when nothing is under way, with the error of what was. After an error
// it gives that error again.
func (b *behind) wait() error {
	if b.done == nil {
		return nil
	}
	err := <-b.done
	if err != nil {
		b.done <- err
		return err
	}
	b.done = nil
	return nil
}
