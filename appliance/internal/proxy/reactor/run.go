package reactor

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Run drives the loop until Stop. What was posted before runs first.
func (l *Loop) Run() error {
	l.setRunning(true)
	for !l.stopped {
		n, err := unix.EpollWait(l.epfd, l.events[:], l.patience())
		if err != nil && !errors.Is(err, unix.EINTR) {
			l.setRunning(false)
			return fmt.Errorf("wait for sockets: %w", err)
		}
		l.now = time.Now()
		l.turn(max(n, 0))
	}
	l.setRunning(false)
	return nil
}

// setRunning hands Do over between the loop's goroutine and its callers; what is
// still in the inbox at the end runs, so that no caller waits for ever.
func (l *Loop) setRunning(on bool) {
	for {
		l.mu.Lock()
		if on || len(l.inbox) == 0 {
			l.running = on
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		l.runInbox()
	}
}

// turn delivers what one wait returned, then due timers, then postponed work.
func (l *Loop) turn(n int) {
	again := l.again
	l.again = nil
	for i := range n {
		ev := &l.events[i]
		if ev.Fd == wakeSlot {
			l.runInbox()
			continue
		}
		if s := l.slots[ev.Fd]; s.gen == uint32(ev.Pad) && s.h != nil {
			s.h.Ready(Events(ev.Events))
		}
	}
	l.wheel.Advance(l.now)
	for _, fn := range again {
		fn()
	}
}

func (l *Loop) runInbox() {
	var count [8]byte
	_, _ = unix.Read(l.wakefd, count[:]) // empties the counter; EAGAIN means empty
	l.mu.Lock()
	inbox := l.inbox
	l.inbox = nil
	l.mu.Unlock()
	for _, fn := range inbox {
		fn()
	}
}

// patience is how long to wait, in ms: not at all with work at hand, one tick of the
// wheel with timers, else for ever.
func (l *Loop) patience() int {
	switch {
	case len(l.again) > 0:
		return 0
	case l.wheel.Len() > 0:
		return int(Tick / time.Millisecond)
	}
	return -1
}
