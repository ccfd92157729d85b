package mgmt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/feed"
)

const (
	// maxStreams bounds the open streams, maxStreamsOfOne those of one caller: nobody keeps
	// the others from theirs.
	maxStreams, maxStreamsOfOne = 64, 16
	// commentEvery keeps a silent stream alive, and finds out whether somebody reads it.
	commentEvery = 15 * time.Second
	// lookEvery is how often it is looked whether the caller may still read.
	lookEvery = 2 * time.Second
	// gather is how long what comes at once is gathered into one writing.
	gather = 100 * time.Millisecond
	// patience is how long a reader may take for what is written to it.
	patience = 10 * time.Second
)

// streams counts those that are open.
type streams struct {
	mu     sync.Mutex
	open   map[string]int // by caller
	all    int
	ending chan struct{} // closed when the server ends
	ended  bool
}

func newStreams() *streams { return &streams{open: map[string]int{}, ending: make(chan struct{})} }

func (s *streams) enter(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.open[who] >= maxStreamsOfOne {
		return false
	}
	s.all++
	s.open[who]++
	return true
}

func (s *streams) leave(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.open[who]--; s.open[who] == 0 {
		delete(s.open, who)
	}
}

// end ends all streams: a server that shuts down waits for nobody who only reads.
func (s *streams) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		close(s.ending)
	}
}

// still reports whether a caller may go on reading.
func (s *Server) still(c caller) bool {
	switch {
	case c.program != "":
		_, ok := s.tokens.Find(c.program)
		return ok
	case c.token != "":
		_, err := s.opts.People.Sessions.Use(c.token, true)
		return err == nil
	}
	return true
}

// stream follows a feed until the reader goes, is too slow, or may not read any more. Say
// writes items as events, or nothing.
type stream[T any] struct {
	feed *feed.Feed[T]
	say  func(*bytes.Buffer, []feed.Item[T])
	// missed is what is said if items after the last seen one are not kept.
	missed func(*bytes.Buffer)
}

// follow serves a stream.
func follow[T any](s *Server, w http.ResponseWriter, r *http.Request, f stream[T]) {
	who := callerOf(r)
	if !s.streams.enter(who.user) {
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("too many streams are open: %d of one caller, %d in all", maxStreamsOfOne, maxStreams))
		return
	}
	defer s.streams.leave(who.user)
	seen, err := lastSeen(r, f.feed.Last())
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", api.ContentStream)
	out := &pipe{w: w, conn: http.NewResponseController(w)}
	_ = out.conn.SetReadDeadline(time.Time{}) // nothing more is read
	out.WriteString("retry: 2000\n\n")
	look, comment := time.NewTicker(lookEvery), time.NewTicker(commentEvery)
	defer look.Stop()
	defer comment.Stop()
	for first := true; ; first = false {
		items, missed, more := f.feed.After(seen)
		if missed && !first {
			return // too slow: it may ask again, and is told then what it missed
		}
		if missed {
			f.missed(&out.Buffer)
		}
		if f.say(&out.Buffer, items); len(items) > 0 {
			seen = items[len(items)-1].ID
		}
		if out.flush() != nil || !s.await(r, out, more, look, comment) {
			return
		}
	}
}

// lastSeen is the number that the reader names: by a header, as browsers do when they come
// back, or in the query.
func lastSeen(r *http.Request, now uint64) (uint64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = r.URL.Query().Get("after")
	}
	if text == "" {
		return now, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, &formatError{http.StatusBadRequest, fmt.Sprintf("Last-Event-ID %q: it is the number of an event", text)}
	}
	return n, nil
}

// await waits for more; false is the end of the stream.
func (s *Server) await(r *http.Request, out *pipe, more <-chan struct{}, look, comment *time.Ticker) bool {
	for {
		select {
		case <-r.Context().Done():
			return false
		case <-s.streams.ending:
			return false
		case <-look.C:
			if !s.still(callerOf(r)) {
				return false
			}
		case <-comment.C:
			out.WriteString(": \n\n")
			if out.flush() != nil {
				return false
			}
		case <-more:
			pause := time.NewTimer(gather)
			defer pause.Stop()
			select {
			case <-r.Context().Done():
				return false
			case <-pause.C:
				return s.still(callerOf(r))
			}
		}
	}
}

// pipe writes what was gathered, to a reader that may not be too slow.
type pipe struct {
	bytes.Buffer

	w    http.ResponseWriter
	conn *http.ResponseController
}

func (p *pipe) flush() error {
	if p.Len() == 0 {
		return nil
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(patience)) // not every connection has one
	if _, err := p.WriteTo(p.w); err != nil {
		return err
	}
	return p.conn.Flush()
}

// writeEvent writes one event; JSON has no line ends.
func writeEvent(to *bytes.Buffer, id uint64, name string, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		return
	}
	if id > 0 {
		fmt.Fprintf(to, "id: %d\n", id)
	}
	if name != "" {
		fmt.Fprintf(to, "event: %s\n", name)
	}
	fmt.Fprintf(to, "data: %s\n\n", data)
}
