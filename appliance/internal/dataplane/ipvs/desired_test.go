package ipvs

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/dptest"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

func TestResolve(t *testing.T) {
	table := dptest.Table(dptest.Case{Setup: "shared mask24 three"})
	table.Services[0].Reals[0].State = lb.Draining
	table.Services[0].Reals[1].MaxConns = 10
	table.Services[0].Reals[2].State = lb.Halted
	table.Services[1].Reals[0].MaxConns, table.Services[1].Reals[0].MinConns = 10, 5
	table.Services[1].Reals[1].State = lb.Unchecked
	table.Services[1].Scheduler = lb.Maglev
	table.Services[1].Persistence = lb.Persistence{}
	d, unserved := resolve(table)
	if unserved != nil {
		t.Fatal(unserved)
	}
	a, b := d.services[0], d.services[1]
	if a.sched != "wlc" || a.flags != flagPersistent || a.timeout != 60 || a.prefix != 24 || a.mark == b.mark || a.mark&^markBits != markBase {
		t.Errorf("%+v", a)
	}
	if b.sched != "mh" || b.flags != flagMHFallback || b.timeout != 0 || b.prefix != 32 {
		t.Errorf("%+v", b)
	}
	want := []dest{
		{name: "s105", addr: netip.MustParseAddr("10.77.0.105")},
		{name: "s106", addr: netip.MustParseAddr("10.77.0.106"), weight: 100, upper: 10, lower: 10},
		{name: "s115", addr: netip.MustParseAddr("10.77.0.115"), weight: 100, upper: 10, lower: 6},
		{name: "s116", addr: netip.MustParseAddr("10.77.0.116"), weight: 100, adopt: true},
		{name: "s117", addr: netip.MustParseAddr("10.77.0.117"), weight: 100},
	}
	if got := append(slices.Clone(a.dests), b.dests...); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if len(d.vips) != 1 || len(d.vips[0].ports) != 2 {
		t.Errorf("%+v", d.vips)
	}
}

// What cannot be programmed is named, all at once, and takes nothing from the others.
func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*plan.L4Table, *plan.L4Service){
		"lease":                func(t *plan.L4Table, _ *plan.L4Service) { t.Leased = true },
		"no scheduler rr":      func(_ *plan.L4Table, s *plan.L4Service) { s.Scheduler = lb.RoundRobin },
		"no ports":             func(_ *plan.L4Table, s *plan.L4Service) { s.Ports = nil },
		"too long":             func(_ *plan.L4Table, s *plan.L4Service) { s.Interface = strings.Repeat("e", 16) },
		"not of one family":    func(_ *plan.L4Table, s *plan.L4Service) { s.Reals[0].Addr = netip.MustParseAddr("fd77::1") },
		"weight 70000":         func(_ *plan.L4Table, s *plan.L4Service) { s.Reals[1].Weight = 70000 },
		"weight -1 is not":     func(_ *plan.L4Table, s *plan.L4Service) { s.Reals[1].Weight = -1 },
		"service media: layer": func(_ *plan.L4Table, s *plan.L4Service) { s.Scheduler = 77 },
	} {
		table := dptest.Table(dptest.Case{})
		change(&table, &table.Services[0])
		d, err := resolve(table)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Addrs) != 1 || len(d.services) != 0 {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestMarks(t *testing.T) {
	taken := map[uint32]bool{}
	first := markOf("media", taken)
	if second := markOf("media", taken); second == first || second&^markBits != markBase {
		t.Errorf("two names with one hash have the marks %#x and %#x", first, second)
	}
	if again := markOf("media", map[uint32]bool{}); again != first {
		t.Errorf("the next daemon gives %#x, want %#x", again, first)
	}
	last := markOf("x", map[uint32]bool{})
	full := map[uint32]bool{last: true}
	if next := markOf("x", full); next&^markBits != markBase || next == last {
		t.Errorf("%#x after %#x", next, last)
	}
}

func TestRules(t *testing.T) {
	d, _ := resolve(dptest.Table(dptest.Case{Setup: "shared tcponly"}))
	rules := rulesOf(d, map[uint32]bool{d.services[1].mark: true})
	var got []string
	for _, r := range rules {
		switch {
		case r.drop != "":
			got = append(got, r.drop)
		case r.mark != 0:
			got = append(got, r.proto.String()+" "+r.ports.String())
		default:
			got = append(got, "accept")
		}
	}
	want := []string{"not_unicast", "accept", "accept", "tcp 80,5000-6000", "no_server", "port_not_served"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if len(rulesOf(desired{}, nil)) != 0 {
		t.Error("rules without services")
	}
}

func TestTemplates(t *testing.T) {
	a := netip.MustParseAddr
	for line, want := range map[string]template{
		"IP  0A000001 0000 4C00ABCD 0000 0A4D0069 0000 NONE             59": {a("10.0.0.1"), a("10.77.0.105"), 0x4c00abcd, 59 * time.Second},
		"IP  fd00:0:0:1:: 0000 4c00:abcd:: 0000 fd77::105 0000 NONE 7":      {a("fd00:0:0:1::"), a("fd77::105"), 0x4c00abcd, 7 * time.Second},
		"IP  [fd00::] 0000 [4c00:abcd::] 0000 [fd77::105] 0000 NONE 7":      {a("fd00::"), a("fd77::105"), 0x4c00abcd, 7 * time.Second},
	} {
		if got, ok := parseTemplate(line); !ok || got != want {
			t.Errorf("%s: %+v, %t", line, got, ok)
		}
	}
	for _, line := range []string{
		"", "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData",
		"TCP 0A000001 03E8 0A4D0064 0050 0A4D0069 0050 ESTABLISHED     899",
		"IP 0A0000 0000 4C00ABCD 0000 0A4D0069 0000 NONE 59", "IP 0A000001 0000 4C00ABCD 0000 0A4D0069 0000 NONE -1",
	} {
		if got, ok := parseTemplate(line); ok {
			t.Errorf("%q was taken for %+v", line, got)
		}
	}
}

func FuzzParseTemplate(f *testing.F) {
	f.Add("IP  0A000001 0000 4C00ABCD 0000 0A4D0069 0000 NONE             59")
	f.Add("IP  [fd00::] 0000 [4c00:abcd::] 0000 [fd77::105] 0000 NONE 7")
	f.Fuzz(func(t *testing.T, line string) {
		if got, ok := parseTemplate(line); ok && (!got.client.IsValid() || !got.server.IsValid() || got.expires < 0) {
			t.Errorf("%+v", got)
		}
	})
}

func TestCounts(t *testing.T) {
	for _, tt := range []struct {
		last, now uint32
		want      uint64
	}{{0, 7, 7}, {7, 7, 0}, {7, 9, 2}, {0xfffffff0, 4, 20}, {1000, 10, 10}} {
		if got := since(tt.last, tt.now); got != tt.want {
			t.Errorf("from %d to %d: %d, want %d", tt.last, tt.now, got, tt.want)
		}
	}
	if sinceBytes(10, 3) != 3 || sinceBytes(3, 10) != 7 {
		t.Error("bytes")
	}
}
