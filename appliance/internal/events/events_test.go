package events

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/lb"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// picture is a service with two servers.
func picture() lb.Status {
	return lb.Status{
		At: noon, Revision: "r1", Pair: lb.PairStatus{Role: lb.Passive, PeerAlive: true, InSync: true},
		Services: []lb.ServiceStatus{{Name: "V", Reals: []lb.RealStatus{{Name: "A", State: lb.Serving, Why: "healthy"}, {Name: "B", State: lb.Serving, Why: "healthy"}}}},
		Problems: []string{"the disk is full"},
	}
}

// short is an event in one line.
func short(e Event) string {
	return strings.TrimSpace(fmt.Sprintf("%s %s/%s %s>%s %s", e.Kind, e.Service, e.Server, e.Before, e.After, e.Text))
}

func TestDiff(t *testing.T) {
	t.Parallel()
	rip := func(s *lb.Status, i int) *lb.RealStatus { return &s.Services[0].Reals[i] }
	for name, tt := range map[string]struct {
		before, after func(*lb.Status)
		want          []string
	}{
		"nothing":  {nil, func(s *lb.Status) { s.Services[0].Counters.Conns = 9; s.Services[0].Reals[0].Why = "healthy again" }, nil},
		"one down": {nil, func(s *lb.Status) { *rip(s, 0) = lb.RealStatus{Name: "A", State: lb.Down, Why: "status 503"} }, []string{"service V/ healthy>partly VIP V: 1 of 2 real servers take clients", "server V/A serving>down RIP A of VIP V is down: status 503"}},
		"all out": {
			func(s *lb.Status) { rip(s, 0).State = lb.Halted },
			func(s *lb.Status) { rip(s, 0).State = lb.Halted; rip(s, 1).State = lb.Draining },
			[]string{"service V/ partly>down VIP V: no real server takes clients", "server V/B serving>draining RIP B of VIP V is draining: healthy"},
		},
		"back again": {func(s *lb.Status) { rip(s, 1).State = lb.Halted }, nil, []string{"service V/ partly>healthy VIP V: 2 of 2 real servers take clients", "server V/B halted>serving RIP B of VIP V is serving: healthy"}},
		"a server is new": {func(s *lb.Status) { s.Services[0].Reals = s.Services[0].Reals[1:] }, nil, []string{
			"server V/A >serving RIP A of VIP V is serving: healthy",
		}},
		"a service goes": {nil, func(s *lb.Status) { s.Services = nil }, []string{
			"service V/ healthy> VIP V is removed", "server V/A serving> RIP A of VIP V is removed", "server V/B serving> RIP B of VIP V is removed",
		}},
		"another order": {nil, func(s *lb.Status) { slices.Reverse(s.Services[0].Reals) }, nil},
		"takeover": {nil, func(s *lb.Status) { s.Pair = lb.PairStatus{Role: lb.Active, Reason: "the peer is dead"} }, []string{
			"role / passive>active this node is active now, it was passive: the peer is dead", "peer / alive>dead the peer is dead", "sync / in sync>behind the persistence table is behind",
		}},
		"a draft": {nil, func(s *lb.Status) { s.Pending = lb.PendingStatus{Changes: 2, Author: "anna"} }, []string{"draft / 0>2 changes pending: 2, the latest by anna"}},
		"applied on trial": {
			func(s *lb.Status) { s.Pending = lb.PendingStatus{Changes: 2, Author: "anna"} },
			func(s *lb.Status) { s.Revision = "r2"; s.Pending.Trial = noon.Add(time.Minute) },
			[]string{
				"configuration / r1>r2 configuration r2 is in force, it was r1", "trial / >on configuration r2 is on trial until 2026-03-04T12:01:00Z",
				"draft / 2>0 no changes are pending any more",
			},
		},
		"kept": {func(s *lb.Status) { s.Pending.Trial = noon }, nil, []string{"trial / on>kept configuration r1 stays: its trial is over"}},
		"gone back": {func(s *lb.Status) { s.Pending.Trial = noon; s.Revision = "r2" }, nil, []string{
			"configuration / r2>r1 configuration r1 is in force, it was r2", "trial / on>reverted configuration r2 was on trial and is not in force any more",
		}},
		"problems": {nil, func(s *lb.Status) { s.Problems = []string{"no clock"} }, []string{"problem / >appeared no clock", "problem / appeared>gone the disk is full"}},
	} {
		before, after := picture(), picture()
		if tt.before != nil {
			tt.before(&before)
		}
		if tt.after != nil {
			tt.after(&after)
		}
		var got []string
		for _, e := range Diff(before, after) {
			if !e.At.Equal(noon) {
				t.Errorf("%s: at %v", name, e.At)
			}
			got = append(got, short(e))
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDiffIsBounded(t *testing.T) {
	t.Parallel()
	after := picture()
	for i := range 2 * most {
		after.Problems = append(after.Problems, fmt.Sprint("p", i))
	}
	got := Diff(picture(), after)
	if len(got) != most+1 || got[most].Kind != More || got[most].Text != "256 more changes at once: read the status" {
		t.Errorf("%d events, the last %+v", len(got), got[len(got)-1])
	}
}

// TestDiffCost: pictures are compared five times a second.
func BenchmarkDiff(b *testing.B) {
	var s lb.Status
	for i := range 100 {
		svc := lb.ServiceStatus{Name: fmt.Sprint("v", i)}
		for j := range 10 {
			svc.Reals = append(svc.Reals, lb.RealStatus{Name: fmt.Sprint("r", j), State: lb.Serving})
		}
		s.Services = append(s.Services, svc)
	}
	for b.Loop() {
		if Diff(s, s) != nil {
			b.Fatal("nothing happened")
		}
	}
}
