package reactor

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Events are epoll's bits.
type Events uint32

// What a handler may be told. Reset is an error on the socket; Closed says that
// the peer will send no more, so reads must go on until they return 0.
const (
	Readable Events = unix.EPOLLIN
	Writable Events = unix.EPOLLOUT
	Closed   Events = unix.EPOLLRDHUP | unix.EPOLLHUP
	Reset    Events = unix.EPOLLERR
	// Edge asks for one report per change, Exclusive wakes one loop of several.
	Edge      Events = unix.EPOLLET
	Exclusive Events = unix.EPOLLEXCLUSIVE
)

// Stream is the registration of a connected socket.
const Stream = Readable | Writable | unix.EPOLLRDHUP | Edge

// Handler is told of readiness on the loop's goroutine.
type Handler interface{ Ready(Events) }

// Token names a registration; the zero value names none.
type Token uint64

// slot holds one registration. gen changes when it is given up, so that an event
// already fetched for an earlier owner finds nobody.
type slot struct {
	h   Handler
	gen uint32
}

const (
	batch    = 256
	wakeSlot = 0 // of the eventfd
)

// Loop is one epoll loop. Only Post, Do, Stop and Load may be called from other
// goroutines.
type Loop struct {
	epfd, wakefd int
	slots        []slot
	free         []uint32
	again        []func()
	wheel        Wheel
	now          time.Time
	events       [batch]unix.EpollEvent
	load         atomic.Int64

	mu      sync.Mutex
	inbox   []func()
	running bool
	stopped bool
}

// New opens a loop: two descriptors, no goroutine. Run drives it, Close ends it.
func New(now time.Time) (*Loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open an epoll descriptor: %w", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open an event descriptor: %w", err), unix.Close(epfd))
	}
	l := &Loop{epfd: epfd, wakefd: wakefd, slots: make([]slot, 1, 64), now: now}
	l.wheel.Start(now)
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakefd, &ev); err != nil {
		return nil, errors.Join(fmt.Errorf("watch the event descriptor: %w", err), l.Close())
	}
	return l, nil
}

// Close releases the descriptors. The loop must not run.
func (l *Loop) Close() error { return errors.Join(unix.Close(l.epfd), unix.Close(l.wakefd)) }

// Now is the time at the start of this turn: coarse, and free.
func (l *Loop) Now() time.Time { return l.now }

// Load counts whatever the owner says it counts; other loops may read it.
func (l *Loop) Load() *atomic.Int64 { return &l.load }

// Add registers a descriptor. Closing the descriptor ends the kernel's part,
// Forget the loop's.
func (l *Loop) Add(fd int, h Handler, events Events) (Token, error) {
	var i uint32
	if n := len(l.free); n > 0 {
		i, l.free = l.free[n-1], l.free[:n-1]
	} else {
		i = uint32(len(l.slots))
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[i]
	s.h = h
	ev := unix.EpollEvent{Events: uint32(events), Fd: int32(i), Pad: int32(s.gen)}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		s.h = nil
		l.free = append(l.free, i)
		return 0, fmt.Errorf("watch a socket: %w", err)
	}
	return Token(uint64(s.gen)<<32 | uint64(i)), nil
}

// Forget ends a registration: no event reaches its handler any more.
func (l *Loop) Forget(t Token) {
	i, gen := uint32(t), uint32(t>>32)
	if i == wakeSlot || l.slots[i].gen != gen {
		return
	}
	l.slots[i] = slot{gen: gen + 1}
	l.free = append(l.free, i)
}

// Unwatch ends a registration whose descriptor stays open.
func (l *Loop) Unwatch(fd int, t Token) error {
	l.Forget(t)
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_DEL, fd, nil); err != nil {
		return fmt.Errorf("stop watching a socket: %w", err)
	}
	return nil
}

// Again calls fn in the next turn, after other sockets had theirs.
func (l *Loop) Again(fn func()) { l.again = append(l.again, fn) }

// Schedule calls t.Fire at or soon after at; it replaces an earlier time.
func (l *Loop) Schedule(t *Timer, at time.Time) { l.wheel.Schedule(t, at) }

// Cancel stops a timer.
func (l *Loop) Cancel(t *Timer) { l.wheel.Cancel(t) }

// Post runs fn on the loop's goroutine, soon. After Stop it is dropped.
func (l *Loop) Post(fn func()) {
	l.mu.Lock()
	l.inbox = append(l.inbox, fn)
	first := len(l.inbox) == 1
	l.mu.Unlock()
	if first {
		l.wake()
	}
}

// Do runs fn on the loop's goroutine and waits for it; while the loop does not run
// it runs fn itself. fn must not call Post, Do or Stop of this loop.
func (l *Loop) Do(fn func()) {
	l.mu.Lock()
	if !l.running {
		defer l.mu.Unlock()
		fn()
		return
	}
	done := make(chan struct{})
	l.inbox = append(l.inbox, func() { fn(); close(done) })
	l.mu.Unlock()
	l.wake()
	<-done
}

// Stop makes Run return after what was posted has run.
func (l *Loop) Stop() { l.Post(func() { l.stopped = true }) }

func (l *Loop) wake() {
	one := [8]byte{1}
	// The only error is "counter full", and then the loop is awake.
	_, _ = unix.Write(l.wakefd, one[:])
}
