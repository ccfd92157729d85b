package verdict_test

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/verdict"
)

func TestPersistence(t *testing.T) {
	cs := func(s *story, at time.Duration, client, service string, server float64) {
		s.sample(at, observe.MetricClientServer, server, "client", client, "service", service)
	}
	base := func() *story {
		s := tell(t)
		for _, c := range []string{"c1", "c2", "c3"} {
			cs(s, 1*time.Second, c, "udp", 1)
			cs(s, 1*time.Second, c, "tcp", 1)
		}
		cs(s, 1*time.Second, "c4", "tcp", 2)
		return s
	}
	failed := func(s *story) *story {
		return s.add(2*time.Second, observe.KindFault, "kill-ht1", observe.Fault{Kind: "kill", Target: "ht1", Server: 1})
	}
	tests := []struct {
		name    string
		story   func() *story
		ratio   float64
		excused float64
	}{
		{"all stay", base, 1, 0},
		{"one moves for no reason", func() *story { s := base(); cs(s, 3*time.Second, "c1", "udp", 2); return s }, 0.75, 0},
		{"media apart from control", func() *story { s := base(); cs(s, 1100*ms, "c4", "udp", 1); return s }, 0.75, 0},
		{"its server failed", func() *story {
			s := failed(base())
			for _, c := range []string{"c1", "c2", "c3"} {
				cs(s, 3*time.Second, c, "udp", 2)
				cs(s, 3100*ms, c, "tcp", 2)
			}
			return s
		}, 1, 3},
		{"moved although its server stayed up", func() *story { s := failed(base()); cs(s, 3*time.Second, "c4", "tcp", 3); return s }, 0.75, 0},
		{"its server failed, and it looked long after", func() *story {
			s := failed(base()).add(4*time.Second, observe.KindHeal, "kill-ht1", observe.Fault{Kind: "kill", Target: "ht1", Server: 1})
			s.sample(20*time.Second, observe.MetricClientServer, 2, "client", "c1", "service", "udp", observe.LabelLast, "1500")
			return s
		}, 1, 1},
		{"its server failed, and it moved long after", func() *story {
			s := failed(base()).add(4*time.Second, observe.KindHeal, "kill-ht1", observe.Fault{Kind: "kill", Target: "ht1", Server: 1})
			s.sample(20*time.Second, observe.MetricClientServer, 2, "client", "c1", "service", "udp", observe.LabelLast, "19000")
			return s
		}, 0.75, 0},
		{"excused once, not twice", func() *story {
			s := failed(base())
			cs(s, 3*time.Second, "c1", "udp", 2)
			cs(s, 4*time.Second, "c1", "udp", 3)
			return s
		}, 0.75, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := verdict.Compute(tt.story().rs)
			ratio, _ := m.Find(verdict.Ref{Metric: "persistence_ratio"})
			excused, _ := m.Find(verdict.Ref{Metric: "persistence_excused", Labels: map[string]string{"reason": "fault"}})
			if ratio.Median != tt.ratio || excused.Median != tt.excused {
				t.Errorf("ratio %v excused %v, want %v and %v", ratio.Median, excused.Median, tt.ratio, tt.excused)
			}
		})
	}
}

// tellServers is a story whose run knows HT1 (id 1) by name and HT2 (id 2) by
// address.
func tellServers(t *testing.T) *story {
	t.Helper()
	s := &story{t: t}
	return s.add(0, observe.KindRun, "", observe.Run{
		Scenario: "s", Started: time.Unix(1e9, 0).UTC(),
		Servers: []observe.Server{{ID: 1, Name: "HT1"}, {ID: 2, Name: "node-b", Addresses: []string{"fd94::116", "192.168.94.116"}}},
	})
}

// serving adds a status in which VIP .110 has both servers and VIP .120 too,
// each with its state there.
func (s *story) serving(at time.Duration, node, role, ht1, ht2, other string) *story {
	service := func(name, vip, a, b string) any {
		return map[string]any{"name": name, "address": vip, "servers": []any{
			map[string]any{"name": "HT1", "address": "192.168.94.115", "state": a, "up_since": "t0"},
			map[string]any{"name": "HT2", "address": "192.168.94.116", "state": b, "up_since": "t0"},
		}}
	}
	s.add(at, observe.KindStatus, "", map[string]any{"node": node, "role": role, "services": []any{
		service("Traffic", "192.168.94.110", ht1, ht2), service("Hashed", "192.168.94.120", other, "serving"),
	}})
	s.rs[len(s.rs)-1].Node = node
	return s
}

// every adds the same status once a second.
func (s *story) every(from, to time.Duration, node, role string, states [3]string) *story {
	for at := from; at <= to; at += time.Second {
		s.serving(at, node, role, states[0], states[1], states[2])
	}
	return s
}

// met says which server answers client c from at on; the one before answered
// last at last, unless that is 0.
func (s *story) met(at time.Duration, server int, last time.Duration) *story {
	labels := []string{"client", "c", "service", "udp", "vip", "192.168.94.110"}
	if last > 0 {
		labels = append(labels, observe.LabelLast, strconv.FormatInt(last.Milliseconds(), 10))
	}
	return s.sample(at, observe.MetricClientServer, float64(server), labels...)
}

func up() [3]string { return [3]string{"serving", "serving", "serving"} }

func TestMovesThatTheApplianceExcuses(t *testing.T) {
	moved := func(s *story) *story { return s.met(1*time.Second, 1, 0).met(10*time.Second, 2, 9*time.Second) }
	tests := []struct {
		name  string
		story *story
		ratio float64 // -1: no client is left to judge
	}{
		{"all serving", moved(tellServers(t)).every(0, 12*time.Second, "lb1", "active", up()), 0},
		{"down at its last answer", moved(tellServers(t)).every(0, 12*time.Second, "lb1", "active", up()).
			serving(9500*ms, "lb1", "active", "down", "serving", "serving").serving(9600*ms, "lb1", "active", "serving", "serving", "serving"), -1},
		{"drained shortly before", moved(tellServers(t)).every(0, 8*time.Second, "lb1", "active", up()).
			serving(8100*ms, "lb1", "active", "draining", "serving", "serving").serving(8200*ms, "lb1", "active", "serving", "serving", "serving"), -1},
		{"down long before", moved(tellServers(t)).serving(2*time.Second, "lb1", "active", "down", "serving", "serving").
			every(3*time.Second, 12*time.Second, "lb1", "active", up()), 0},
		{"down only afterwards", moved(tellServers(t)).every(0, 10*time.Second, "lb1", "active", up()).
			serving(10100*ms, "lb1", "active", "down", "serving", "serving"), 0},
		{"down in the eyes of the passive node", moved(tellServers(t)).every(0, 12*time.Second, "lb1", "active", up()).
			every(0, 12*time.Second, "lb2", "passive", [3]string{"down", "serving", "serving"}), 0},
		{"down in another service", moved(tellServers(t)).every(0, 12*time.Second, "lb1", "active", [3]string{"serving", "serving", "down"}), 0},
		{"the other server is down", moved(tellServers(t)).every(0, 12*time.Second, "lb1", "active", [3]string{"serving", "down", "serving"}), 0},
		{"known by address", tellServers(t).met(1*time.Second, 2, 0).met(10*time.Second, 1, 9*time.Second).
			every(0, 12*time.Second, "lb1", "standalone", [3]string{"serving", "halted", "serving"}), -1},
		{"down on the node that takes over", moved(tellServers(t)).every(0, 9*time.Second, "lb1", "active", up()).
			every(0, 8*time.Second, "lb2", "passive", up()).serving(9200*ms, "lb2", "active", "down", "serving", "serving"), -1},
		{"one of two moves", moved(tellServers(t)).every(0, 9*time.Second, "lb1", "active", up()).
			serving(9500*ms, "lb1", "active", "down", "serving", "serving").every(9600*ms, 30*time.Second, "lb1", "active", up()).
			met(20*time.Second, 1, 19*time.Second), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := verdict.Compute(tt.story.rs)
			got, ok := m.Find(verdict.Ref{Metric: "persistence_ratio"})
			if ok != (tt.ratio >= 0) || (ok && got.Median != tt.ratio) {
				t.Errorf("ratio %v (found %t), want %v", got.Median, ok, tt.ratio)
			}
			ex, ok := m.Find(verdict.Ref{Metric: "persistence_excused", Labels: map[string]string{"reason": "not_serving"}})
			if want := (tt.ratio < 0); !ok || (ex.Median > 0) != want && tt.name != "one of two moves" {
				t.Errorf("%v moves excused (found %t)", ex.Median, ok)
			}
		})
	}
}

// A server that was down between two readings is up, but not since the same time.
func TestFlapBetweenTwoReadings(t *testing.T) {
	s := tellServers(t).met(1*time.Second, 1, 0).met(10*time.Second, 2, 9*time.Second)
	for i, since := range []string{"t0", "t0", "t1"} {
		s.add(time.Duration(7+i)*time.Second, observe.KindStatus, "", map[string]any{"role": "active", "services": []any{
			map[string]any{"name": "Traffic", "address": "192.168.94.110", "servers": []any{map[string]any{"name": "HT1", "state": "serving", "up_since": since}}},
		}})
		s.rs[len(s.rs)-1].Node = "lb1"
	}
	if got, ok := verdict.Compute(s.rs).Find(verdict.Ref{Metric: "persistence_ratio"}); ok {
		t.Errorf("ratio %v: the move was not excused", got.Median)
	}
}

// Without persistence clients also move while all servers are up: flapping health
// must not hide that.
func TestNoPersistenceFailsAlthoughHealthFlaps(t *testing.T) {
	s := tellServers(t)
	for at := time.Duration(0); at <= 30*time.Second; at += 500 * ms {
		ht1 := "serving"
		if at%(6*time.Second) == 0 {
			ht1 = "down"
		}
		s.serving(at, "lb1", "active", ht1, "serving", "serving")
	}
	r := rand.New(rand.NewPCG(1, 2))
	for c := range 50 {
		before, last := 0, time.Duration(0)
		for at := time.Duration(r.IntN(3000)) * ms; at < 30*time.Second; at += 3 * time.Second {
			server := 1 + r.IntN(2)
			if server != before {
				labels := []string{"client", strconv.Itoa(c), "vip", "192.168.94.110"}
				if before != 0 {
					labels = append(labels, observe.LabelLast, strconv.FormatInt(last.Milliseconds(), 10))
				}
				s.sample(at, observe.MetricClientServer, float64(server), labels...)
			}
			before, last = server, at
		}
	}
	got, ok := verdict.Compute(s.rs).Find(verdict.Ref{Metric: "persistence_ratio"})
	if !ok || got.Median > 0.1 {
		t.Errorf("ratio %v (found %t) of clients that are thrown about", got.Median, ok)
	}
}

func TestFalseDowns(t *testing.T) {
	down := [3]string{"down", "serving", "serving"}
	calm := func() *story { return tellServers(t).every(0, 5*time.Second, "lb1", "active", up()) }
	tests := []struct {
		name             string
		story            *story
		machine, unknown float64
	}{
		{"none", calm(), 0, 0},
		{"for no reason", calm().every(6*time.Second, 8*time.Second, "lb1", "active", down), 0, 1},
		{"late timers", calm().sample(6100*ms, observe.MetricTimerLate, 120).every(6*time.Second, 8*time.Second, "lb1", "active", down), 1, 0},
		{"late timers long ago", calm().sample(2*time.Second, observe.MetricTimerLate, 120).every(6*time.Second, 15*time.Second, "lb1", "active", up()).
			every(16*time.Second, 18*time.Second, "lb1", "active", down), 0, 1},
		{"server hit", calm().add(5500*ms, observe.KindFault, "x", observe.Fault{Kind: "unhealthy", Target: "x", Server: 1}).
			every(6*time.Second, 8*time.Second, "lb1", "active", down), 0, 0},
		{"appliance hit", calm().fault(5500*ms, "cut", "lb1").every(6*time.Second, 8*time.Second, "lb1", "active", down), 0, 0},
		{"halted by the operator", calm().every(6*time.Second, 8*time.Second, "lb1", "active", [3]string{"halted", "serving", "serving"}), 0, 0},
		{"passive node", tellServers(t).every(0, 5*time.Second, "lb2", "passive", up()).every(6*time.Second, 8*time.Second, "lb2", "passive", down), 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := verdict.Compute(tt.story.rs)
			for cause, want := range map[string]float64{"machine": tt.machine, "unknown": tt.unknown} {
				got, ok := m.Find(verdict.Ref{Metric: "false_downs", Labels: map[string]string{"cause": cause}})
				if !ok || got.Median != want {
					t.Errorf("%s: %v (found %t), want %v", cause, got.Median, ok, want)
				}
			}
		})
	}
}

func TestFlapsOfTheMachineDecideNothing(t *testing.T) {
	e := scenario.Expectation{Metric: "outage_ms.max", Max: new(float64(100)), Floor: "noise_floor_ms.p99"}
	tell := func(late float64, gap time.Duration) *story {
		return tellServers(t).probe(20*time.Second, 1).every(0, 9*time.Second, "lb1", "active", up()).
			sample(9900*ms, observe.MetricTimerLate, late).
			every(10*time.Second, 12*time.Second, "lb1", "active", [3]string{"serving", "down", "serving"}).
			fault(9800*ms, "kill", "lb2").gap(9900*ms, 9900*ms+gap)
	}
	for _, tt := range []struct {
		name  string
		story *story
		want  verdict.Verdict
	}{
		{"machine", tell(300, 400*ms), verdict.Inconclusive},
		{"machine, but the limit holds", tell(300, 50*ms), verdict.Pass},
		{"product", tell(3, 400*ms), verdict.Fail},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := verdict.Judge([]scenario.Expectation{e}, tt.story.rs).Expectations[0]
			if got.Verdict != tt.want {
				t.Errorf("%s: %s, want %s", got.Verdict, got.Evidence, tt.want)
			}
		})
	}
}
