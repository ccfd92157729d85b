package vip

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestScheduleBurstThenMinutes(t *testing.T) {
	var s schedule
	if s.next() != Forever || s.due(time.Hour) {
		t.Fatal("a silent schedule must stay silent")
	}
	s.begin(time.Second)
	var got []time.Duration
	for len(got) < 7 {
		at := s.next()
		if s.due(at-1) || !s.due(at) {
			t.Fatalf("not due at its own time %v", at)
		}
		got = append(got, at-time.Second)
	}
	ms := time.Millisecond
	want := []time.Duration{0, 50 * ms, 100 * ms, 200 * ms, 500 * ms, 500*ms + time.Minute, 500*ms + 2*time.Minute}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	s.stop()
	if s.next() != Forever {
		t.Error("announces after the stop")
	}
}

func TestScheduleDoesNotCatchUp(t *testing.T) {
	var s schedule
	s.begin(0)
	if !s.due(10*time.Minute) || s.due(10*time.Minute) {
		t.Error("a late caller announces once")
	}
}
