package reactor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWheelNeverFiresEarlyAndAtMostATickLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1000, 0)
		var w Wheel
		w.Start(start)
		now, due := start, map[int]time.Time{}
		timers := make([]Timer, 8)
		for i := range timers {
			timers[i].Fire = func() {
				if now.Before(due[i]) {
					t.Fatalf("timer %d fired %v early", i, due[i].Sub(now))
				}
				delete(due, i)
			}
		}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			i := rapid.IntRange(0, len(timers)-1).Draw(t, "timer")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				w.Cancel(&timers[i])
				delete(due, i)
			case 1, 2:
				due[i] = now.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(t, "ms")) * time.Millisecond)
				w.Schedule(&timers[i], due[i])
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 60_000).Draw(t, "pass")) * time.Millisecond)
			w.Advance(now)
			for i, at := range due {
				if now.Sub(at) > 2*Tick {
					t.Fatalf("timer %d is %v late", i, now.Sub(at))
				}
			}
			if w.Len() != len(due) {
				t.Fatalf("wheel holds %d timers, want %d", w.Len(), len(due))
			}
		}
	})
}

func TestTimerMayScheduleItselfAndCancelOthers(t *testing.T) {
	now := time.Unix(0, 0)
	var w Wheel
	w.Start(now)
	var log []string
	var a, b Timer
	a.Fire = func() {
		log = append(log, "a")
		w.Cancel(&b)
		if len(log) < 3 {
			w.Schedule(&a, now)
		}
	}
	b.Fire = func() { log = append(log, "b") }
	w.Schedule(&a, now.Add(Tick))
	w.Schedule(&b, now.Add(Tick))
	for range 10 {
		now = now.Add(Tick)
		w.Advance(now)
	}
	if diff := cmp.Diff([]string{"a", "a", "a"}, log); diff != "" {
		t.Errorf("fired (-want +got):\n%s", diff)
	}
}
