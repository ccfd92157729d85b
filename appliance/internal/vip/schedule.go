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
