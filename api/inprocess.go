package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"finobs/internal/session"
)

type inProcessKey struct{}

// visitorOf is on whose behalf the console makes a call within this process. No
// request from outside has one: it is put into the context here alone.
func visitorOf(ctx context.Context) (session.Session, bool) {
	v, ok := ctx.Value(inProcessKey{}).(session.Session)
	return v, ok
}

// as is the API for somebody who is signed in, without a network between. The
// guard judges such a call like any other: by route, roster and permission.
func (s *Server) as(who session.Session) http.RoundTripper { return inProcess{s, who} }

type inProcess struct {
	server *Server
	who    session.Session
}

// RoundTrip implements http.RoundTripper. The answer is read while the handler
// writes it; whoever calls closes its body, as ever.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	// When the caller has closed the body, nobody waits for what the handler does.
	ctx, cancel := context.WithCancel(context.WithValue(r.Context(), inProcessKey{}, t.who))
	in := r.Clone(ctx)
	if in.Header == nil {
		in.Header = http.Header{}
	}
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "console"
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	for _, name := range []string{"Authorization", "Cookie", devUserHeader} {
		in.Header.Del(name) // who asks is who is signed in
	}
	if id := requestID(ctx); id != "" {
		in.Header.Set("X-Request-Id", id)
	}
	body, out := io.Pipe()
	w := &pipeWriter{header: http.Header{}, out: out, started: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		defer in.Body.Close()
		w.finish(serve(t.server.handler, w, in))
	}()
	select {
	case <-w.started:
	case <-ctx.Done():
		cancel()
		return nil, ctx.Err()
	}
	if w.status == 0 {
		cancel()
		return nil, errors.New("calling the API: the handler broke off before it answered")
	}
	return &http.Response{
		Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status,
		Proto: in.Proto, ProtoMajor: in.ProtoMajor, ProtoMinor: in.ProtoMinor,
		Header: w.sent, Body: cancelBody{body, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// serve runs a handler; a panic that nobody recovered becomes an error, as the
// HTTP server would close the connection.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if thrown := recover(); thrown != nil {
			err = fmt.Errorf("calling the API: the handler panicked: %v", thrown)
		}
	}()
	h.ServeHTTP(w, r)
	return nil
}

type cancelBody struct {
	*io.PipeReader
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b cancelBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}

// pipeWriter is the http.ResponseWriter of a call within the process. It keeps
// nothing of the body: a write waits until it was read.
type pipeWriter struct {
	header http.Header
	out    *io.PipeWriter

	once    sync.Once
	started chan struct{} // closed once status and sent are set
	status  int           // 0: the handler broke off
	sent    http.Header   // as it was when the handler began to write
}

// Header implements http.ResponseWriter.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *pipeWriter) WriteHeader(status int) {
	if status >= 100 && status < 200 {
		return // only the last status is the answer's
	}
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.started)
	})
}

// Write implements http.ResponseWriter.
func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.out.Write(p)
}

// Flush implements http.Flusher; what is written is never held back.
func (w *pipeWriter) Flush() { w.WriteHeader(http.StatusOK) }

// SetReadDeadline is part of http.ResponseController; the context bounds a call.
func (w *pipeWriter) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is part of http.ResponseController, like SetReadDeadline.
func (w *pipeWriter) SetWriteDeadline(time.Time) error { return nil }

// finish ends the answer.
func (w *pipeWriter) finish(err error) {
	if err == nil {
		w.WriteHeader(http.StatusOK)
		w.out.Close()
		return
	}
	w.once.Do(func() { close(w.started) })
	w.out.CloseWithError(err)
}
