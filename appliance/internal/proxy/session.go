package proxy

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/proxy/reactor"
	"github.com/vosbed/vosbed/appliance/internal/proxy/relay"
	"github.com/vosbed/vosbed/appliance/lb"
)

// session is one client connection with its server connection. It lives on one
// loop: nothing in it needs a lock.
type session struct {
	w    *worker
	svc  *service
	view *view // as it was when the session started
	peer netip.AddrPort
	port uint16     // that the client used
	key  netip.Addr // of its persistence entry, invalid = none

	to         *target // chosen server
	tried      []*server
	connecting bool
	linked     bool
	over       bool
	queued     bool // for another turn

	client, server     side
	up, down           relay.Flow // client to server, server to client
	upDone, downDone   bool
	upBytes, downBytes uint64
	started, last      time.Time // last = last byte moved
	timer              reactor.Timer

	prev, next *session
}

// side is one of the two sockets.
type side struct {
	relay.End
	s     *session
	token reactor.Token
}

// Ready takes epoll's news about one socket.
func (e *side) Ready(ev reactor.Events) {
	s := e.s
	if s.connecting {
		s.connected(ev)
		return
	}
	e.note(ev)
	if ev&reactor.Reset != 0 && e.ended() {
		s.abort("reset")
		return
	}
	s.pump()
}

// ended reports whether the side has sent its end already. If not, what it sent
// before a reset is still to be read, and the read after it tells of the reset: a
// server that answers early and closes on unread input resets its own answer.
func (e *side) ended() bool {
	if e == &e.s.client {
		return e.s.upDone
	}
	return e.s.downDone
}

func (e *side) note(ev reactor.Events) {
	if ev&(reactor.Closed|reactor.Reset) != 0 {
		e.Closed = true
	}
	if ev&(reactor.Readable|reactor.Closed|reactor.Reset) != 0 {
		e.Readable = true
	}
	if ev&reactor.Writable != 0 {
		e.Writable = true
	}
}

// start runs on the loop that owns the session.
func (s *session) start() {
	s.link()
	s.started = s.w.loop.Now()
	s.last = s.started
	s.client.s, s.server.s = s, s
	s.timer.Fire = s.tick
	// The state of servers may have changed since the connection was accepted.
	if s.view = s.svc.view.Load(); s.view == nil {
		s.w.p.refused[notServed].Add(1)
		s.abort(notServed.String())
		return
	}
	if p := s.view.front.Persistence; p.Kind == lb.PersistSourceIP {
		s.key = p.Key(s.peer.Addr())
	}
	to, why := s.choose()
	if to == nil && s.view.page != nil {
		to = s.svc.claim(s.view.page)
		s.key = netip.Addr{} // the page is nobody's server: no entry is made or kept for it
	}
	s.connect(to, why)
}

func (s *session) link() {
	h := &s.w.all
	s.prev, s.next = h.prev, h
	h.prev.next, h.prev = s, s
	s.linked = true
}

// pump moves what can be moved, in both directions.
func (s *session) pump() {
	more := false
	if !s.upDone {
		moved, out := s.up.Move(s.w.scratch, &s.client.End, &s.server.End)
		s.account(&s.upBytes, &s.to.srv.in, moved)
		more = s.outcome(out, &s.server, &s.upDone)
	}
	if !s.downDone && !s.over {
		moved, out := s.down.Move(s.w.scratch, &s.server.End, &s.client.End)
		s.account(&s.downBytes, &s.to.srv.out, moved)
		more = s.outcome(out, &s.client, &s.downDone) || more
	}
	switch {
	case s.over:
	case s.upDone && s.downDone:
		s.end("closed", unix.Close)
	case more:
		s.postpone()
	}
}

// outcome acts on the end of a direction's turn and reports whether it wants
// another. At the end of its stream the other side is told by FIN, unless both are
// at their end and a close says it all.
func (s *session) outcome(out relay.Outcome, dst *side, done *bool) (more bool) {
	switch out {
	case relay.Waiting:
	case relay.More:
		return true
	case relay.Finished:
		*done = true
		s.finished(dst)
	case relay.Broken:
		s.rescue(dst)
		s.abort("reset")
	}
	return false
}

// rescue hands on what the server said before it refused to take more: the answer
// to an upload that it did not want to read.
func (s *session) rescue(dst *side) {
	if dst == &s.server && !s.downDone {
		s.server.Readable = true
		moved, _ := s.down.Move(s.w.scratch, &s.server.End, &s.client.End)
		s.account(&s.downBytes, &s.to.srv.out, moved)
	}
}

func (s *session) finished(dst *side) {
	if s.upDone && s.downDone {
		return
	}
	// An error means that the socket is dead, which epoll reports too.
	_ = unix.Shutdown(dst.FD, unix.SHUT_WR)
	s.w.loop.Schedule(&s.timer, s.w.loop.Now().Add(s.patience()))
}

func (s *session) postpone() {
	if s.queued {
		return
	}
	s.queued = true
	s.w.loop.Again(func() {
		s.queued = false
		if !s.over {
			s.pump()
		}
	})
}

func (s *session) account(mine *uint64, all *atomic.Uint64, moved int) {
	if moved > 0 {
		s.last = s.w.loop.Now()
		*mine += uint64(moved)
		all.Add(uint64(moved))
	}
}

// patience is how long both directions may be silent.
func (s *session) patience() time.Duration {
	set := s.view.front.Settings
	if s.upDone || s.downDone {
		return min(set.FinTimeout, set.IdleTimeout)
	}
	return set.IdleTimeout
}

// tick looks at the times of the session. Nothing on the data path arms a timer:
// it comes by now and then and compares.
func (s *session) tick() {
	now := s.w.loop.Now()
	if s.connecting {
		s.redispatch(unix.ETIMEDOUT)
		return
	}
	due := s.last.Add(s.patience())
	if !due.After(now) {
		s.w.p.refused[idleTimeout].Add(1)
		s.abort(idleTimeout.String())
		return
	}
	if s.key.IsValid() {
		s.w.p.o.Table.Touch(now, s.svc.name, s.key, s.to.Name)
		if next := now.Add(s.touchEvery()); next.Before(due) {
			due = next
		}
	}
	s.w.loop.Schedule(&s.timer, due)
}

// touchEvery is how often an open session refreshes its persistence entry: often
// enough that the entry outlives the session.
func (s *session) touchEvery() time.Duration {
	t := s.view.front.Persistence.Timeout
	if t <= 0 {
		return 20 * time.Second
	}
	return min(20*time.Second, max(t/3, reactor.Tick))
}

// abort ends the session with RST on both sides.
func (s *session) abort(why string) {
	s.end(why, func(fd int) error { reset(fd); return nil })
}

// end releases everything, once.
func (s *session) end(why string, closeFD func(int) error) {
	if s.over {
		return
	}
	s.over = true
	s.w.loop.Cancel(&s.timer)
	s.up.Release(s.w.scratch)
	s.down.Release(s.w.scratch)
	s.drop(&s.client, closeFD)
	s.drop(&s.server, closeFD)
	if s.linked {
		s.prev.next, s.next.prev = s.next, s.prev
		s.prev, s.next, s.linked = nil, nil, false
	}
	if s.to != nil {
		s.to.srv.active.Add(-1)
	}
	s.svc.active.Add(-1)
	s.w.p.sessions.Add(-1)
	s.w.loop.Load().Add(-1)
	s.log(why)
}

// drop closes one socket. An error of close is of no use: the descriptor is gone.
func (s *session) drop(e *side, closeFD func(int) error) {
	if e.FD < 0 {
		return
	}
	s.w.loop.Forget(e.token)
	_ = closeFD(e.FD)
	e.FD, e.token = -1, 0
}

func (s *session) log(why string) {
	log := s.w.p.o.Logger
	ctx := context.Background()
	if !log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	rip := ""
	if s.to != nil {
		rip = s.to.Name
	}
	log.DebugContext(ctx, "session ended", "vip", s.svc.name, "client", s.peer, "port", s.port,
		"rip", rip, "in_bytes", s.upBytes, "out_bytes", s.downBytes,
		"duration", s.w.loop.Now().Sub(s.started), "why", why)
}
