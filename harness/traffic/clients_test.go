package traffic

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/observe"
)

// Attempts of one client overlap: only those that began later tell of a move.
func TestClientServerIsEmittedAtChanges(t *testing.T) {
	out := make(chan observe.Record, 100)
	a := newAgent(Spec{Name: "crowd", From: "clients", To: "192.168.94.110:60000"}, out)
	if err := a.check(); err != nil {
		t.Fatal(err)
	}
	c := &crowd{agent: a, at: make(map[string]*place)}
	udp, tcp := service{"udp", 60000}, service{"tcp", 60001}
	for _, s := range []struct {
		client  string
		service service
		server  uint16
		began   int
	}{
		{"c1", udp, 115, 1},
		{"c1", udp, 115, 2},
		{"c1", tcp, 115, 3}, // first of its service
		{"c2", udp, 116, 3},
		{"c1", udp, 116, 6}, // moved
		{"c1", tcp, 115, 5}, // an older attempt, answered late
		{"c1", tcp, 116, 7},
		{"c1", tcp, 0, 8}, // does not say who it is
		{"c1", tcp, 115, 9},
	} {
		c.answered(job{client: s.client, service: s.service}, s.server, time.Duration(s.began)*time.Second)
	}
	close(out)
	type seen struct {
		Client, Service, Server, VIP string
		Last                         bool
	}
	var got []seen
	for r := range out {
		s, err := observe.Decode[observe.Sample](r)
		if err != nil {
			t.Fatal(err)
		}
		_, last := s.Labels[observe.LabelLast]
		got = append(got, seen{s.Labels["client"], s.Labels["service"], s.Labels["server"], s.Labels["vip"], last})
	}
	const vip = "192.168.94.110"
	want := []seen{
		{"c1", "udp:60000", "115", vip, false},
		{"c1", "tcp:60001", "115", vip, true},
		{"c2", "udp:60000", "116", vip, false},
		{"c1", "udp:60000", "116", vip, true},
		{"c1", "tcp:60001", "115", vip, true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c.moves != 2 {
		t.Errorf("%d moves, want 2", c.moves)
	}
}
