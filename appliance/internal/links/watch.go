package links

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// lookAgain is how often Watch looks without having been told.
const lookAgain = 10 * time.Second

// Watch calls changed once it listens, and then after every change of an interface, an
// address or a default route until ctx ends. Changes that come together may be told as
// one. Every 10 s it looks again untold, and listens again if the kernel's socket failed.
// Only a first socket that cannot be opened is an error.
func Watch(ctx context.Context, changed func()) error {
	return watch(ctx, subscribe, lookAgain, changed)
}

func watch(ctx context.Context, open func() (socket, error), every time.Duration, changed func()) error {
	l, err := listen(open)
	if err != nil {
		return err
	}
	defer func() { l.close() }()
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		changed()
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			l = l.renewed(open)
		case _, ok := <-l.news:
			if !ok {
				l.news = nil // a socket that fails at once must not make a busy loop
			}
		}
	}
}

// socket is where the kernel tells of changes.
type socket interface {
	Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error)
	Close()
}

// subscribe opens one socket for everything that List reads.
func subscribe() (socket, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watch interfaces, addresses and routes: %w", err)
	}
	return s, nil
}

// listener reads a socket.
type listener struct {
	socket socket
	news   <-chan struct{} // closed when the socket has failed, nil when that is known
	done   <-chan struct{}
}

func listen(open func() (socket, error)) (listener, error) {
	s, err := open()
	if err != nil {
		return listener{}, err
	}
	news, done := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(done)
		defer close(news)
		read(s, news)
	}()
	return listener{s, news, done}, nil
}

// close ends the reading and waits for that.
func (l listener) close() {
	l.socket.Close()
	<-l.done
}

// renewed is l, or another in place of one that failed.
func (l listener) renewed(open func() (socket, error)) listener {
	if l.news != nil {
		return l
	}
	fresh, err := listen(open)
	if err != nil {
		return l // the next look tries again
	}
	l.close()
	return fresh
}

// read turns what the kernel tells into news until the socket fails. It never waits for
// whoever acts on them, so that the kernel's queue stays short.
func read(s socket, news chan<- struct{}) {
	for {
		told, _, err := s.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS): // the queue was full: something was lost, the socket goes on (netlink(7))
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return
		case !slices.ContainsFunc(told, matters):
			continue
		}
		select {
		case news <- struct{}{}:
		default:
		}
	}
}

// matters reports whether a message is about something that List reads. Of routes these
// are the default ones: the appliance itself makes others, for each check through a VIP.
func matters(m syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return len(m.Data) >= unix.SizeofRtMsg && nl.DeserializeRtMsg(m.Data).Dst_len == 0
	}
	return false
}
