package reactor

import "time"

const (
	// Tick is the resolution of timers: they fire up to one tick late.
	Tick = 50 * time.Millisecond
	// slots span 25.6 s; later timers go round until they are due.
	slots = 512
)

// Timer is one entry of a wheel. Embed it or keep it beside its owner: scheduling
// allocates nothing.
type Timer struct {
	Fire       func()
	at         time.Time
	prev, next *Timer
}

// Wheel is a hashed timing wheel: scheduling and cancelling are O(1), and nothing
// but the caller's clock moves it. The zero value needs Start.
type Wheel struct {
	base  time.Time // ticks count from here, on the monotonic clock
	last  int64     // number of the latest tick that was served
	count int
	heads [slots]Timer
}

// Start sets the time from which the wheel counts.
func (w *Wheel) Start(now time.Time) {
	w.base, w.last = now, 0
	for i := range w.heads {
		w.heads[i].prev, w.heads[i].next = &w.heads[i], &w.heads[i]
	}
}

// Len is the number of scheduled timers.
func (w *Wheel) Len() int { return w.count }

func (w *Wheel) tick(t time.Time) int64 { return int64(t.Sub(w.base) / Tick) }

// Schedule arms t for at, or moves it there.
func (w *Wheel) Schedule(t *Timer, at time.Time) {
	w.Cancel(t)
	t.at = at
	// The tick after: a timer never fires early.
	tick := max(w.tick(at)+1, w.last+1)
	h := &w.heads[tick%slots]
	t.prev, t.next = h.prev, h
	h.prev.next, h.prev = t, t
	w.count++
}

// Cancel disarms t; a disarmed one stays so.
func (w *Wheel) Cancel(t *Timer) {
	if t.next == nil {
		return
	}
	t.prev.next, t.next.prev = t.next, t.prev
	t.prev, t.next = nil, nil
	w.count--
}

// Advance fires every timer that is due. A timer may schedule or cancel any timer,
// itself too.
func (w *Wheel) Advance(now time.Time) {
	to := w.tick(now)
	for from := max(w.last, to-slots); from < to; {
		from++
		w.last = from
		w.fire(from, now)
	}
	w.last = max(w.last, to)
}

// fire serves one slot. Timers of later rounds stay; those that are due are first
// moved to a list of their own, so that whatever they do to the slot is safe.
func (w *Wheel) fire(tick int64, now time.Time) {
	h := &w.heads[tick%slots]
	var due Timer
	due.prev, due.next = &due, &due
	for t := h.next; t != h; {
		next := t.next
		if !t.at.After(now) {
			t.prev.next, t.next.prev = t.next, t.prev
			t.prev, t.next = due.prev, &due
			due.prev.next, due.prev = t, t
		}
		t = next
	}
	for due.next != &due {
		t := due.next
		w.Cancel(t)
		t.Fire()
	}
}
