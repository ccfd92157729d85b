package vip

import "time"

// Forever is a time that never comes.
const Forever = time.Duration(1<<63 - 1)

// refresh is the period of announcements after the first burst.
const refresh = time.Minute

// burst are the offsets of the first announcements: one is lost easily, and a
// switch may still be learning.
func burst() [5]time.Duration {
	return [5]time.Duration{0, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond}
}

// schedule says when to announce; the zero value is silent. Times are monotonic.
type schedule struct {
	on    bool
	sent  int
	start time.Duration
}

func (s *schedule) begin(now time.Duration) { *s = schedule{on: true, start: now} }

func (s *schedule) stop() { s.on = false }

// next is the time of the next announcement, Forever when silent.
func (s *schedule) next() time.Duration {
	offsets := burst()
	switch {
	case !s.on:
		return Forever
	case s.sent < len(offsets):
		return s.start + offsets[s.sent]
	}
	return s.start + offsets[len(offsets)-1] + time.Duration(s.sent-len(offsets)+1)*refresh
}

// due reports whether an announcement is due and counts it. Those missed by a late
// caller are not made up for.
func (s *schedule) due(now time.Duration) bool {
	if now < s.next() {
		return false
	}
	for now >= s.next() {
		s.sent++
	}
	return true
}

// retryPeriod is how soon an address is tried again that could not be added or removed.
const retryPeriod = 5 * time.Second

// again says when to try again; the zero value is never. What fails outside of Fire
// has no time yet: the next Fire begins the wait.
type again struct {
	due, waiting bool
	at           time.Duration
}

func (a *again) next() time.Duration {
	switch {
	case !a.due:
		return Forever
	case !a.waiting:
		return 0
	}
	return a.at
}

// take reports whether it is time to try.
func (a *again) take(now time.Duration) bool {
	if !a.due || (a.waiting && now < a.at) {
		return false
	}
	ready := a.waiting
	a.waiting, a.at = true, now+retryPeriod
	return ready
}
