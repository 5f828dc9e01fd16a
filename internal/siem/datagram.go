package siem

import (
	"fmt"
	"net"
)

// datagram is a syslog receiver over UDP (RFC 5426): one message in each datagram.
// Whatever was handed to the kernel counts as acknowledged, so this sink loses
// leaves whenever the network or the receiver does.
type datagram struct {
	label, address string
	format         format
	local          bool // refuse to send to another machine
}

func (d *datagram) name() string { return d.label }
func (d *datagram) lossy() bool  { return true }

func (d *datagram) run(l *lane) {
	var conn net.Conn
	hangUp := func() {
		if conn != nil {
			conn.Close()
			conn = nil
		}
		l.connected(false)
	}
	defer hangUp()
	l.batches(l.feeder.batch(), func(events []Event) (int, error) {
		if conn == nil {
			dialer := net.Dialer{Timeout: l.timing.Dial}
			if d.local {
				dialer.Control = refuseRemote
			}
			var err error
			if conn, err = dialer.DialContext(l.ctx, "udp", d.address); err != nil {
				conn = nil
				return 0, err
			}
			l.connected(true)
		}
		for i, e := range events {
			message, err := d.format.encode(e)
			if err != nil {
				return i, err
			}
			if err := conn.SetWriteDeadline(l.feeder.Now().Add(l.timing.Write)); err != nil {
				return i, err
			}
			// A receiver that is not there answers with ICMP, which is the error of
			// the next datagram.
			if _, err := conn.Write(message); err != nil {
				hangUp()
				return i, fmt.Errorf("sending to %s: %w", d.address, err)
			}
		}
		return len(events), nil
	})
}
