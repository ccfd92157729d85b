package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// TestBlindNode: with all ping nodes silent nothing that fails is held against a
// server, until one of them answers: then only the ping nodes are gone.
func TestBlindNode(t *testing.T) {
	tests := []struct {
		name       string
		blind      bool
		dead       []int // of servers 1 and 2
		wantUp     [2]bool
		wantReason string
	}{
		{"a cut cable takes nobody out", true, []int{1, 2}, [2]bool{true, true}, "no route"},
		{"the ping node alone is gone", true, []int{1}, [2]bool{false, true}, "no route"},
		{"a node that sees believes what it sees", false, []int{1, 2}, [2]bool{false, false}, "no route"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript()
				e := New(Options{Blind: func() (time.Time, bool) { return s.start.Add(20 * time.Second), tt.blind }})
				e.check = s.check
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- e.Run(ctx) }()
				if err := e.Set(ctx, []plan.Probe{probeOf(1), probeOf(2)}); err != nil {
					t.Fatal(err)
				}
				<-time.After(20*time.Second + time.Millisecond)
				for _, i := range tt.dead {
					s.set(addrOf(i), tt.wantReason)
				}
				<-time.After(time.Minute)
				all := e.Snapshot()
				for i, want := range tt.wantUp {
					h := all[probeOf(i+1).ID]
					if h.Up != want {
						t.Errorf("server %d up %v, want %v", i+1, h.Up, want)
					}
				}
				if got := all[probeOf(1).ID].Last.Failed; got != tt.wantReason {
					t.Errorf("the verdict says %q: it must tell what happened even if it does not count", got)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
