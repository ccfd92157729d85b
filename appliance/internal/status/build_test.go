package status

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

func facts() Facts {
	rip := netip.MustParseAddr("192.168.94.115")
	id := lb.RealID{Service: "Harmonic_Traffic", Real: "HT1"}
	return Facts{
		Config: lb.Config{Services: []lb.VirtualService{{
			Name: "Harmonic_Traffic", Addr: netip.MustParseAddr("192.168.94.110"), Method: lb.DR,
			Reals: []lb.RealServer{{Name: "HT1", Addr: rip}},
		}}},
		Plan:   plan.Plan{Reals: map[lb.RealID]plan.Decision{id: {State: lb.Down, Why: "failing its health check"}}},
		Health: map[lb.RealID]lb.Health{id: {Last: lb.Verdict{At: time.Now(), Failed: "got 200 `Degraded`, wanted `Healthy`"}}},
		MACs:   map[netip.Addr]string{rip: "02:00:00:00:00:73"},
	}
}

func TestServerSaysWhy(t *testing.T) {
	got := Build(facts()).Services[0].Reals[0]
	if want := "failing its health check: got 200 `Degraded`, wanted `Healthy`"; got.Why != want {
		t.Errorf("why %q, want %q", got.Why, want)
	}
	if got.MAC != "02:00:00:00:00:73" {
		t.Errorf("a DR server shows its MAC, got %q", got.MAC)
	}
}

func TestConflictNamesTheServer(t *testing.T) {
	f := facts()
	f.Conflicts = []lb.ARPConflict{
		{VIP: netip.MustParseAddr("192.168.94.110"), MAC: "02:00:00:00:00:73"},
		{VIP: netip.MustParseAddr("192.168.94.110"), MAC: "02:ff:ff:ff:ff:ff"},
	}
	s := Build(f)
	if got := s.Conflicts[0].Server; got != "HT1" {
		t.Errorf("offender %q, want HT1", got)
	}
	if got := s.Conflicts[1].Server; got != "" {
		t.Errorf("a stranger was called %q", got)
	}
	if !strings.Contains(s.Problems[0], "HT1") || !strings.Contains(s.Problems[1], "02:ff") {
		t.Errorf("problems: %q", s.Problems)
	}
	if f.Conflicts[0].Server != "" {
		t.Error("the facts were changed")
	}
}

func TestFailedActuatorComesFirst(t *testing.T) {
	f := facts()
	f.Plan.Problems = []string{"no interface"}
	f.Failed = map[string]error{"proxy": errors.New("set proxy: address in use")}
	got := Build(f).Problems
	if len(got) != 2 || got[0] != "set proxy: address in use" {
		t.Errorf("problems %q", got)
	}
}

func TestProblemsOfThePairAreTold(t *testing.T) {
	f := facts()
	f.Notes, f.Pair.Problems = []string{"the file has mistakes"}, []string{"the pairing secrets differ"}
	got := strings.Join(Build(f).Problems, "|")
	if want := "the file has mistakes|the pairing secrets differ"; got != want {
		t.Errorf("problems %q, want %q", got, want)
	}
}
