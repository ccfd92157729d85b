package proxy

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/proxy/reactor"
	"github.com/vosbed/vosbed/appliance/internal/proxy/relay"
)

// worker is one loop with the sessions it owns.
type worker struct {
	p       *Proxy
	loop    *reactor.Loop
	scratch *relay.Scratch
	all     session // sentinel of the ring of sessions
	reserve int     // descriptor to refuse with when there is no other
}

// imbalance is how many more sessions than another loop one keeps before it hands
// new ones over: a hand-over costs a wake-up of the other processor.
const imbalance = 4

// place starts a session for an accepted connection, here or on a loop that has
// much less to do.
func (w *worker) place(fd int, peer netip.AddrPort, l *listener) {
	svc := l.svc.Load()
	v := svc.view.Load()
	if why := w.p.admit(svc, v); why != 0 {
		w.p.refused[why].Add(1)
		reset(fd)
		return
	}
	to := w
	for _, o := range w.p.workers {
		if o.loop.Load().Load()+imbalance < to.loop.Load().Load() {
			to = o
		}
	}
	to.loop.Load().Add(1)
	s := &session{w: to, svc: svc, view: v, peer: peer, port: l.addr.Port()}
	s.client.FD, s.server.FD = fd, -1
	if to == w {
		s.start()
		return
	}
	to.loop.Post(s.start)
}

// admit counts a session in, or tells why not.
func (p *Proxy) admit(svc *service, v *view) reason {
	if v == nil {
		return notServed
	}
	if p.sessions.Add(1) > p.capacity.Load() {
		p.sessions.Add(-1)
		return fdBudget
	}
	if n, limit := svc.active.Add(1), v.front.Settings.MaxConns; limit > 0 && n > int64(limit) {
		svc.active.Add(-1)
		p.sessions.Add(-1)
		return serviceFull
	}
	return 0
}

// leave ends sessions on the given servers with RST; those still connecting try
// another server instead.
func (w *worker) leave(bad map[*server]bool) {
	for s := w.all.next; s != &w.all; {
		next := s.next
		switch {
		case s.to == nil || !bad[s.to.srv]:
		case s.connecting:
			s.redispatch(unix.ECONNABORTED)
		default:
			w.p.refused[serverCut].Add(1)
			s.abort(serverCut.String())
		}
		s = next
	}
}

// cut ends sessions with RST.
func (w *worker) cut(which func(*session) bool, why string) {
	for s := w.all.next; s != &w.all; {
		next := s.next
		if which(s) {
			s.abort(why)
		}
		s = next
	}
}

// closeListener stops accepting; what waits in the queue is reset by the kernel.
// The descriptor is closed last, when no loop can be in accept with it.
func (p *Proxy) closeListener(l *listener) {
	for i, w := range p.workers {
		w.loop.Do(func() {
			// A loop that never got to watch it has nothing to stop.
			_ = w.loop.Unwatch(l.fd, l.tokens[i])
		})
	}
	_ = unix.Close(l.fd)
}
