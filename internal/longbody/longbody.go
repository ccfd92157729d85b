// Package longbody reads the bodies of requests that may take longer than those of others,
// such as a software update: each reading is bounded, and the whole.
package longbody

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// Reader is a body that is read with patience.
type Reader struct {
	io.ReadCloser
	control *http.ResponseController
	each    time.Duration
	until   time.Time
}

// New bounds each reading of a body by a time, and all of them by another one. The control
// is that of the answer to the same request.
func New(body io.ReadCloser, control *http.ResponseController, each, all time.Duration) *Reader {
	return &Reader{body, control, each, time.Now().Add(all)}
}

// Read gives the sender its time anew. A listener that cannot keeps its usual bound.
func (r *Reader) Read(p []byte) (int, error) {
	within := time.Now().Add(r.each)
	if within.After(r.until) {
		within = r.until
	}
	_ = r.control.SetReadDeadline(within)
	n, err := r.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		// The end of a deadline would end the request. Who has sent less than was announced
		// is given no more time: closing the body would wait for it.
		_ = r.control.SetReadDeadline(r.until)
	}
	return n, err
}
