package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/proxy/reactor"
)

// choose finds the server of the client: by its entry, or by the scheduler.
func (s *session) choose() (*target, reason) {
	if !s.key.IsValid() {
		return s.svc.pick(s.view, s.tried)
	}
	var picked *target
	var why reason
	fresh := func() (string, bool) {
		picked, why = s.svc.pick(s.view, s.tried)
		if picked == nil {
			return "", false
		}
		return picked.Name, true
	}
	table, now := s.w.p.o.Table, s.w.loop.Now()
	name, existed, _ := table.Reserve(now, s.svc.name, s.key, fresh)
	if !existed {
		return picked, why
	}
	if t := s.belongs(name); t != nil {
		return t, 0
	}
	return s.move(name)
}

// move leaves a server that cannot serve the client and rewrites its entry. If another
// connection of the client has moved it already, that decision stands, unless it
// names a server that this one cannot use either: then it moves on from there.
func (s *session) move(failed string) (*target, reason) {
	var picked *target
	var why reason
	fresh := func() (string, bool) {
		picked, why = s.svc.pick(s.view, s.tried)
		if picked == nil {
			return "", false
		}
		return picked.Name, true
	}
	for range len(s.view.targets) + 1 {
		name, existed, ok := s.w.p.o.Table.Move(s.w.loop.Now(), s.svc.name, s.key, failed, fresh)
		switch {
		case !ok:
			s.w.p.o.Table.Drop(s.svc.name, s.key, failed)
			return nil, why
		case !existed:
			return picked, 0
		}
		if t := s.belongs(name); t != nil {
			return t, 0
		}
		failed = name
	}
	return s.svc.pick(s.view, s.tried)
}

// belongs takes a place on the named server if the client may stay with it.
func (s *session) belongs(name string) *target {
	t := s.view.find(name)
	if t == nil || !s.view.keeps(t) || slices.Contains(s.tried, t.srv) {
		return nil
	}
	return s.svc.claim(t)
}

// connect starts connecting to a server, or to the next one when that fails at once.
func (s *session) connect(to *target, why reason) {
	for to != nil {
		s.to = to
		err := s.dial()
		if err == nil {
			return
		}
		if short := shortage(err); short != 0 {
			s.w.p.refused[short].Add(1)
			s.abort(short.String())
			return
		}
		to, why = s.giveUp(err)
	}
	s.w.p.refused[why].Add(1)
	s.abort(why.String())
}

// shortage tells what of this host a failed connect was in want of, 0 = nothing. It
// is not held against the server, and the client keeps its entry: it would not belong
// to another server once the shortage is over.
func shortage(err error) reason {
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL): // connect(2): all ports of the range are in use
		return noPort
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM),
		errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENOSPC): // epoll_ctl(2): max_user_watches
		return fdBudget
	}
	return 0
}

// redispatch leaves a server that did not answer for the next one.
func (s *session) redispatch(err error) { s.connect(s.giveUp(err)) }

// giveUp leaves the failed server and chooses another, as long as retries are left.
func (s *session) giveUp(err error) (*target, reason) {
	failed := s.to
	failed.srv.failed.Add(1)
	next, why := s.without(failed, err)
	if next != nil {
		failed.srv.retried.Add(1)
	}
	return next, why
}

// without leaves the failed server.
func (s *session) without(failed *target, err error) (*target, reason) {
	s.w.p.refused[connectFailed].Add(1)
	s.w.p.o.Logger.Debug("connect failed", "vip", s.svc.name, "rip", failed.Name, "err", err)
	s.connecting = false
	s.w.loop.Cancel(&s.timer)
	s.drop(&s.server, unix.Close)
	failed.srv.active.Add(-1)
	s.to = nil
	s.tried = append(s.tried, failed.srv)
	// The state of servers may have changed since: a server may be halted.
	if v := s.svc.view.Load(); v != nil {
		s.view = v
	}
	switch {
	case len(s.tried) > s.view.front.Settings.Retries:
		if s.key.IsValid() {
			s.w.p.o.Table.Drop(s.svc.name, s.key, failed.Name)
		}
		return nil, noServer
	case s.key.IsValid():
		return s.move(failed.Name)
	}
	return s.svc.pick(s.view, s.tried)
}

// dial opens the server's socket and starts the handshake.
func (s *session) dial() error {
	at := netip.AddrPortFrom(s.to.Addr.Unmap(), s.to.Port)
	if s.to.Port == 0 {
		at = netip.AddrPortFrom(at.Addr(), s.port)
	}
	family := unix.AF_INET
	if at.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open a socket for %s: %w", at, err)
	}
	s.server.FD = fd
	if err = s.w.p.prepare(fd, at.Addr()); err != nil {
		return err
	}
	if err = unix.Connect(fd, sockaddr(at)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connect to %s: %w", at, err)
	}
	// Only now: epoll calls a socket that has not begun to connect hung up.
	if s.server.token, err = s.w.loop.Add(fd, &s.server, reactor.Stream); err != nil {
		return err
	}
	s.connecting = true
	s.w.loop.Schedule(&s.timer, s.w.loop.Now().Add(s.view.front.Settings.ConnectTimeout))
	return nil
}

// prepare sets the options of a socket to a server. The source port is left to
// connect, which may share it between servers (IP_BIND_ADDRESS_NO_PORT, ip(7)).
func (p *Proxy) prepare(fd int, server netip.Addr) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("prepare a socket for %s: %w", server, err)
	}
	for _, src := range p.o.Sources {
		if src = src.Unmap(); src.Is4() != server.Is4() {
			continue
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
			return fmt.Errorf("leave the source port open: %w", err)
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(src, 0))); err != nil {
			return fmt.Errorf("connect from %s (is it an address of this host?): %w", src, err)
		}
		return nil
	}
	return nil
}

// connected takes the end of the handshake, good or bad.
func (s *session) connected(ev reactor.Events) {
	if ev&(reactor.Reset|reactor.Closed) != 0 {
		if code, err := unix.GetsockoptInt(s.server.FD, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || code != 0 {
			s.redispatch(unix.Errno(code))
			return
		}
	}
	if ev&reactor.Writable == 0 {
		return
	}
	s.connecting = false
	s.tried = nil
	s.to.srv.conns.Add(1)
	s.last = s.w.loop.Now()
	s.w.loop.Schedule(&s.timer, s.last.Add(min(s.patience(), s.touchEvery())))
	s.server.note(ev)
	// The client's first bytes are there as a rule: reading them now saves a turn.
	s.client.Readable, s.client.Writable = true, true
	s.pump()
	if s.over {
		return
	}
	token, err := s.w.loop.Add(s.client.FD, &s.client, reactor.Stream)
	if err != nil {
		s.abort("no_descriptor")
		return
	}
	s.client.token = token
}
