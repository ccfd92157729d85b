package rtsp

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/media"
)

const serviceName = control.ServiceRTSP

// session is one RTSP session. Its methods are called by the goroutine of its
// connection.
type session struct {
	c         *conn
	id        string
	recording bool // mode of the session, since its first SETUP
	tracks    []*track
	entry     ledger.Entry
	counted   bool
	// active is set between PLAY or RECORD and PAUSE or the end.
	active  atomic.Bool
	stop    context.CancelFunc
	workers sync.WaitGroup // of the present PLAY or RECORD
	readers sync.WaitGroup // of the sockets
}

// track is one RTP stream of a session.
type track struct {
	s    *session
	url  *url.URL
	t    transport
	pair *pair // nil when interleaved
	ssrc uint32
	send sender
	recv receiver
	// drained tells that the reader of the RTP port has handled all that had
	// arrived; it is closed when the reader ends.
	drained chan struct{}
}

// newSession returns a session without tracks.
func newSession(c *conn, recording bool) *session {
	s := &session{
		c: c, recording: recording,
		id: fmt.Sprintf("%04x%012x", c.server.o.Identity.ID, rand.Uint64()>>16),
	}
	s.entry = c.server.o.Ledger.Entry(s.proto(), c.remote)
	return s
}

// proto is the session's protocol in the ledger.
func (s *session) proto() string {
	if s.recording {
		return control.ProtoRTSPRecord
	}
	return control.ProtoRTSPPlay
}

// add sets up a track; over UDP it binds a pair of ports and listens on it.
func (s *session) add(ctx context.Context, u *url.URL, t transport) (*track, error) {
	tr := &track{s: s, url: u, t: t, ssrc: rand.Uint32(), drained: make(chan struct{})}
	tr.send.seq, tr.send.offset = uint16(rand.Uint32()), rand.Uint32()
	if !t.tcp {
		p, err := s.c.server.pool.take(ctx)
		if err != nil {
			return nil, err
		}
		tr.pair = p
		s.readers.Go(tr.readRTP)
		s.readers.Go(tr.readRTCP)
	}
	s.tracks = append(s.tracks, tr)
	return tr, nil
}

// port is the lower server port, 0 when interleaved.
func (t *track) port() uint16 {
	if t.pair == nil {
		return 0
	}
	return t.pair.port()
}

func (s *session) busy() bool { return s.active.Load() }

// has reports whether the track with that URL is set up. The live programme
// has but one, which may be named by the programme's URL too.
func (s *session) has(u *url.URL) bool {
	if !s.recording {
		return len(s.tracks) > 0
	}
	for _, t := range s.tracks {
		if trackKey(t.url) == trackKey(u) {
			return true
		}
	}
	return false
}

// play answers PLAY; the media starts after the answer.
func (s *session) play(ctx context.Context) (response, func()) {
	if s.recording || s.busy() || len(s.tracks) == 0 {
		return reply(statusWrongState), nil
	}
	next := uint32(s.c.server.o.Live.NextKey() * media.FrameTicks)
	var info []string
	for _, t := range s.tracks {
		info = append(info, fmt.Sprintf("url=%s;seq=%d;rtptime=%d", t.url, t.send.seq, next+t.send.offset))
	}
	resp := reply(statusOK, "Session", s.id, "Range", "npt=now-", "RTP-Info", strings.Join(info, ","))
	return resp, func() { s.start(ctx, s.stream) }
}

// record answers RECORD.
func (s *session) record(ctx context.Context) response {
	if !s.recording || s.busy() || len(s.tracks) == 0 {
		return reply(statusWrongState)
	}
	s.start(ctx, s.report)
	return reply(statusOK, "Session", s.id)
}

// start runs the worker of PLAY or RECORD.
func (s *session) start(ctx context.Context, work func(context.Context)) {
	ctx, s.stop = context.WithCancel(ctx)
	s.active.Store(true)
	if !s.counted {
		s.counted = true
		s.entry.Open()
	}
	s.workers.Go(func() { work(ctx) })
}

// pause answers PAUSE.
func (s *session) pause() response {
	if !s.busy() {
		return reply(statusWrongState)
	}
	s.halt()
	return reply(statusOK, "Session", s.id)
}

// halt ends the worker.
func (s *session) halt() {
	s.drain()
	s.active.Store(false)
	if s.stop != nil {
		s.stop()
		s.workers.Wait()
		s.stop = nil
	}
}

// close ends the session and gives its ports back.
func (s *session) close() {
	s.halt()
	for _, t := range s.tracks {
		if t.pair != nil {
			t.pair.close()
		}
	}
	s.readers.Wait()
	if s.counted {
		s.entry.Close()
	}
}

// isClient reports whether a datagram comes from the session's client.
func (s *session) isClient(a netip.Addr) bool { return a.Unmap() == s.c.remote }
