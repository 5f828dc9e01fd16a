package siem

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

// chunk is how many bytes are written under one deadline. A receiver that is slow
// but takes them is not cut off.
const chunk = 64 << 10

// stream is a syslog receiver over TLS (RFC 5425) or TCP with octet counting (RFC
// 6587 section 3.4.1).
type stream struct {
	label, address string
	tls            *tls.Config // nil for plain TCP
	format         format
	resend         int64 // leaves
	local          bool  // refuse to connect to another machine
}

func (s *stream) name() string { return s.label }
func (s *stream) lossy() bool  { return false }

func (s *stream) run(l *lane) {
	for l.ctx.Err() == nil {
		err := s.session(l)
		l.connected(false)
		l.fail(err)
		l.retreat()
	}
}

// session serves one connection until it breaks.
func (s *stream) session(l *lane) error {
	acked, err := l.cursor()
	if err != nil {
		return err
	}
	link, err := s.dial(l)
	if err != nil {
		return fmt.Errorf("connecting to %s: %w", s.address, err)
	}
	defer link.close()
	defer context.AfterFunc(l.ctx, link.close)()
	l.connected(true)
	x := &transfer{stream: s, lane: l, link: link, acked: acked, next: max(0, acked-s.resend), began: l.feeder.Now()}
	for {
		if err := x.turn(); err != nil {
			return err
		}
	}
}

// transfer is the state of one connection.
type transfer struct {
	*stream
	lane        *lane
	link        *link
	acked, next int64 // first index not acknowledged; first not sent on this connection
	began       time.Time
	marks       []mark
}

// mark remembers how far the sending had come at some time.
type mark struct {
	next    int64 // first index behind it
	bytes   int64 // written to the connection until then
	written time.Time
	drained time.Time // when the receiver's machine was seen to have taken them; zero before
}

// turn sends what there is and moves the cursor over what stayed sent.
func (x *transfer) turn() error {
	l := x.lane
	events, trouble := l.read(x.next, l.feeder.batch())
	buf, n, err := x.frames(events)
	if err != nil {
		trouble = err
	}
	if n > 0 {
		if err := x.write(buf); err != nil {
			return err
		}
		x.next += int64(n)
		x.mark()
		l.look(func(s *SinkStatus) { s.Sent = x.next })
	}
	if err := x.settle(); err != nil {
		return err
	}
	switch {
	case trouble != nil: // of our own; the connection is not to blame
		l.fail(trouble)
	case l.feeder.Now().Sub(x.began) >= l.timing.Stay:
		l.ok()
	}
	if n == 0 || trouble != nil {
		l.pause(l.timing.Idle, x.link.broken)
	}
	return x.link.problem()
}

// frames returns the octet-counted messages of events, and how many there are in
// front of the first that cannot be written.
func (x *transfer) frames(events []Event) ([]byte, int, error) {
	var buf []byte
	for i, e := range events {
		message, err := x.format.encode(e)
		if err != nil {
			return buf, i, err
		}
		buf = strconv.AppendInt(buf, int64(len(message)), 10)
		buf = append(buf, ' ')
		buf = append(buf, message...)
	}
	return buf, len(events), nil
}

func (x *transfer) write(buf []byte) error {
	for len(buf) > 0 {
		part := buf[:min(chunk, len(buf))]
		if err := x.link.conn.SetWriteDeadline(x.lane.feeder.Now().Add(x.lane.timing.Write)); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		if _, err := x.link.conn.Write(part); err != nil {
			if problem := x.link.problem(); problem != nil {
				return problem // says more than "broken pipe"
			}
			return fmt.Errorf("sending: %w", err)
		}
		buf = buf[len(part):]
	}
	return nil
}

// mark notes what was just written. Marks closer than a tenth of Stay are made
// one, so there are never many.
func (x *transfer) mark() {
	m := mark{next: x.next, bytes: x.link.raw.written.Load(), written: x.lane.feeder.Now()}
	if n := len(x.marks); n >= 2 && x.marks[n-1].written.Sub(x.marks[n-2].written) < x.lane.timing.Stay/10 {
		x.marks[n-1] = m
		return
	}
	x.marks = append(x.marks, m)
}

// settle moves the cursor over leaves that the receiver's machine has taken, once
// the connection has stayed up for a while after: a receiver that died in between
// has had the time to say so.
func (x *transfer) settle() error {
	if len(x.marks) == 0 {
		return nil
	}
	t := x.lane.timing
	taken := x.link.raw.taken()
	now := x.lane.feeder.Now()
	done := int64(-1)
	for i := range x.marks {
		m := &x.marks[i]
		if m.bytes > taken {
			if now.Sub(m.written) > t.Write {
				return fmt.Errorf("%s has not taken what was sent %s ago", x.address, now.Sub(m.written).Round(time.Millisecond))
			}
			break
		}
		if m.drained.IsZero() {
			m.drained = now
		}
		if now.Sub(m.drained) >= t.Stay {
			done = m.next
		}
	}
	if err := x.link.problem(); err != nil || done < 0 {
		return err
	}
	for len(x.marks) > 0 && x.marks[0].next <= done {
		x.marks = x.marks[1:]
	}
	if done <= x.acked { // leaves that were sent again
		return nil
	}
	if err := x.lane.advance(done); err != nil {
		return err
	}
	x.acked = done
	return nil
}

// link is a connection whose end is noticed at once, also while nothing is sent.
type link struct {
	conn   net.Conn
	raw    *counted
	broken chan struct{} // closed at the end
	cause  error         // read after broken
}

// counted is a TCP connection that counts what was written to it, below TLS.
type counted struct {
	*net.TCPConn
	written atomic.Int64
}

// Write implements net.Conn.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// taken is how many of the bytes the receiver's machine has confirmed. Where the
// kernel cannot tell, all that were written.
func (c *counted) taken() int64 {
	written := c.written.Load()
	queued, known := unconfirmed(c.TCPConn)
	if !known {
		return written
	}
	return written - queued
}

func (s *stream) dial(l *lane) (*link, error) {
	dialer := net.Dialer{Timeout: l.timing.Dial, KeepAlive: 15 * time.Second}
	if s.local {
		dialer.Control = refuseRemote
	}
	conn, err := dialer.DialContext(l.ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	raw := &counted{TCPConn: conn.(*net.TCPConn)}
	out := &link{conn: raw, raw: raw, broken: make(chan struct{})}
	if s.tls != nil {
		ctx, cancel := context.WithTimeout(l.ctx, l.timing.Dial)
		defer cancel()
		secure := tls.Client(raw, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("TLS handshake: %w", err)
		}
		out.conn = secure
	}
	go out.watch()
	return out, nil
}

// watch reads, which is how a closed connection, a reset and a TLS alert are
// noticed. A receiver has nothing to say; what it says is thrown away.
func (k *link) watch() {
	_, err := io.Copy(io.Discard, k.conn)
	if err == nil {
		err = errors.New("the receiver closed the connection")
	}
	k.cause = err
	close(k.broken)
}

func (k *link) problem() error {
	select {
	case <-k.broken:
		return fmt.Errorf("the connection broke: %w", k.cause)
	default:
		return nil
	}
}

// close ends the connection at once. TLS would first try to say goodbye, for up to
// five seconds, to a receiver that may not read.
func (k *link) close() { k.raw.Close() }

// refuseRemote keeps a name that was thought to be this machine's from leading
// elsewhere.
func refuseRemote(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !to.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("%s is not this machine; without TLS set insecure: true", address)
	}
	return nil
}
