package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/lib/pq"
)

// floorChannel is where the floor is told what was inserted.
const floorChannel = "bench_event"

// floorHub is the smallest hub: what Postgres notifies goes to every socket as it
// is. It knows nobody, keeps nothing, and resumes nothing.
type floorHub struct {
	mu      sync.Mutex
	sockets map[chan []byte]bool
}

// floorStreams is the program that serves it. It ends with its parent.
func floorStreams(listen, database string) error {
	h := &floorHub{sockets: map[chan []byte]bool{}}
	listener := pq.NewListener(database, time.Second, time.Minute, nil)
	defer listener.Close()
	if err := listener.Listen(floorChannel); err != nil {
		return err
	}
	go func() {
		for n := range listener.Notify {
			if n != nil { // nil: the connection was made again
				h.send([]byte(n.Extra))
			}
		}
	}()
	return (&http.Server{Addr: listen, Handler: http.HandlerFunc(h.serve), ReadHeaderTimeout: time.Minute}).ListenAndServe()
}

func (h *floorHub) send(message []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for socket := range h.sockets {
		select {
		case socket <- message:
		default: // a slow one loses it
		}
	}
}

func (h *floorHub) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow() //nolint:errcheck // it is closed or broken already
	messages := make(chan []byte, 64)
	h.mu.Lock()
	h.sockets[messages] = true
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.sockets, messages)
		h.mu.Unlock()
	}()
	ctx := conn.CloseRead(r.Context())
	for {
		select {
		case <-ctx.Done():
			return
		case message := <-messages:
			if conn.Write(ctx, websocket.MessageText, message) != nil {
				return
			}
		}
	}
}
