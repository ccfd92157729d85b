package appliance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/lb"
)

// apart are two nodes that have the same services and have changed something together.
func apart(t *testing.T) (one, two *shared) {
	t.Helper()
	one, two = member(t, "lb1", 3), member(t, "lb2", 1)
	cfg, _ := one.facts.current()
	one.changed(cfg)
	tell(t, one, two)
	tell(t, two, one)
	if !one.equal() || !two.equal() {
		t.Fatal("they do not know that they have the same")
	}
	return one, two
}

// edit changes what is in force, as a person does.
func (s *shared) edit(f func(*lb.Config)) {
	cfg, _ := s.facts.current()
	cfg.Services = slices.Clone(cfg.Services)
	f(&cfg)
	s.facts.setConfig(cfg, config.Revision(cfg))
	s.changed(cfg)
}

// meet lets both tell each other until nothing changes any more.
func meet(t *testing.T, one, two *shared) {
	t.Helper()
	for range 3 {
		tell(t, one, two)
		tell(t, two, one)
	}
	a, _ := one.facts.current()
	b, _ := two.facts.current()
	if config.ClusterRevision(withoutFiles(a)) != config.ClusterRevision(withoutFiles(b)) {
		t.Error("the nodes serve different things")
	}
}

func remove(name string) func(*lb.Config) {
	return func(c *lb.Config) {
		c.Services = slices.DeleteFunc(c.Services, func(s lb.VirtualService) bool { return s.Name == name })
	}
}

func idle(service string, n int) func(*lb.Config) {
	return func(c *lb.Config) {
		for i := range c.Services {
			if c.Services[i].Name == service {
				c.Services[i].Persistence.Timeout = time.Duration(n) * time.Second
			}
		}
	}
}

// pendingOf are the paths of the pending changes.
func (s *shared) pendingOf() string {
	var out []string
	for _, c := range s.draft.State().Changes {
		out = append(out, c.Path)
	}
	return strings.Join(out, " ")
}

// TestOvertaken: both nodes were changed while they could not reach each other. One
// configuration takes effect on both; the other one's changes are pending where they were
// made, rebased on what is in force, or told with their number in the history.
func TestOvertaken(t *testing.T) {
	for _, c := range []struct {
		name                 string
		first, second        func(*lb.Config)
		pending, told, there string
	}{
		{"different services", remove("s0"), idle("s2", 7777), "services/s0", "are pending changes now", "lb1 has changes"},
		{"the same service", idle("s2", 1), idle("s2", 2), "", "lbctl discard", "lb1 has changes"},
		{"the same change", idle("s2", 2), idle("s2", 2), "", "", ""},
		{"the same and more", idle("s2", 2), func(c *lb.Config) { idle("s2", 2)(c); remove("s0")(c) }, "", "", ""},
		{"back again", func(*lb.Config) {}, idle("s2", 2), "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			one, two := apart(t)
			one.edit(c.first)
			two.edit(c.second) // equal counts: the greater name wins
			two.edit(func(*lb.Config) {})
			meet(t, one, two)
			if got := one.pendingOf(); !strings.HasPrefix(got, c.pending) || (c.pending == "") != (got == "") {
				t.Errorf("pending on lb1: %q, want %q", got, c.pending)
			}
			if got := strings.Join(one.problems(), "\n"); !strings.Contains(got, c.told) || (c.told == "") != (got == "") {
				t.Errorf("lb1 says %q, want %q", got, c.told)
			}
			if got := strings.Join(two.problems(), "\n"); !strings.Contains(got, c.there) || (c.there == "") != (got == "") {
				t.Errorf("lb2 says %q, want %q", got, c.there)
			}
			if c.told == "" {
				return
			}
			if !one.unread() || !one.acknowledge() || one.acknowledge() {
				t.Error("the notice does not end by being read")
			}
			meet(t, one, two)
			if p := append(one.problems(), two.problems()...); len(p) > 0 {
				t.Errorf("still told: %v", p)
			}
		})
	}
}

// TestOneAfterTheOtherIsNoConflict: as long as the nodes hear each other nothing is ever
// overtaken, whoever changes and however late the confirmations are.
func TestOneAfterTheOtherIsNoConflict(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	one, two := apart(t)
	for i := range 60 {
		from, to := one, two
		if r.IntN(2) == 0 {
			from, to = two, one
		}
		from.edit(idle("s1", 1000+i))
		tell(t, from, to)
		if r.IntN(3) > 0 {
			tell(t, to, from)
		}
	}
	meet(t, one, two)
	if one.unread() || two.unread() {
		t.Errorf("overtaken: %v %v", one.problems(), two.problems())
	}
}

// TestNoChangeIsLost is a model test: two nodes change, hear each other or not, are killed
// and start again. In the end both serve the same, and what was in force on one of them is
// in force, or was known to the peer when that changed it, or is pending or told.
func TestNoChangeIsLost(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 7))
		one, two := apart(t)
		both, common := []*shared{one, two}, map[string]bool{} // revisions that both had
		for i := range 12 {
			n := r.IntN(2)
			both[n].edit(idle(fmt.Sprint("s", r.IntN(3)), 2000+i))
			switch r.IntN(4) {
			case 0:
				tell(t, both[n], both[1-n])
			case 1:
				both[n] = again(t, both[n])
			case 2:
				meet(t, both[n], both[1-n])
			}
			if both[0].state.Revision == both[1].state.Revision {
				common[both[0].state.Revision] = true
			}
		}
		var final []lb.Config
		for _, s := range both {
			cfg, _ := s.facts.current()
			final = append(final, cfg)
		}
		meet(t, both[0], both[1])
		for n, s := range both {
			now, _ := s.facts.current()
			if len(config.Diff(final[n], now)) > 0 && !s.unread() && !common[config.ClusterRevision(withoutFiles(final[n]))] {
				t.Errorf("seed %d: what %s served is gone without a word", seed, now.Node.Name)
			}
		}
	}
}

// again is a node after it was killed.
func again(t *testing.T, s *shared) *shared {
	t.Helper()
	next, err := openShared(s.Appliance, s.path)
	if err != nil {
		t.Fatal(err)
	}
	next.apply = s.apply
	s.shared = next
	next.resume()
	return next
}

// TestKilledBeforeItWasCounted: a configuration that was written, but not counted before
// the daemon was killed, or a file that was changed while it did not run, is news for the
// peer all the same.
func TestKilledBeforeItWasCounted(t *testing.T) {
	one, two := apart(t)
	cfg, _ := one.facts.current()
	idle("s1", 4711)(&cfg)
	one.facts.setConfig(cfg, config.Revision(cfg))
	one = again(t, one)
	meet(t, one, two)
	if got, _ := two.facts.current(); got.Services[1].Persistence.Timeout != 4711*time.Second {
		t.Errorf("lb2 has %v", got.Services[1].Persistence.Timeout)
	}
}

// TestKilledWhileItWasOvertaken: at no step of taking the peer's is anything forgotten.
func TestKilledWhileItWasOvertaken(t *testing.T) {
	one, two := apart(t)
	one.edit(remove("s0"))
	two.edit(idle("s2", 7777))
	apply := one.apply
	hold, err := os.ReadFile(one.path)
	if err != nil {
		t.Fatal(err)
	}
	parts, err := two.Parts()
	if err != nil {
		t.Fatal(err)
	}
	noted := []byte{}
	one.apply = func(cfg lb.Config) error {
		noted, _ = os.ReadFile(one.path)
		return errors.Join(apply(cfg), errors.New("killed"))
	}
	for _, p := range parts {
		_ = one.Merge(t.Context(), p)
	}
	if string(noted) == string(hold) {
		t.Fatal("nothing is written down before the peer's takes effect")
	}
	if err := os.WriteFile(one.path, noted, 0o600); err != nil {
		t.Fatal(err)
	}
	one.apply = apply
	one = again(t, one)
	meet(t, one, two)
	if !one.unread() || one.pendingOf() == "" {
		t.Errorf("what was overtaken is gone: %v", one.problems())
	}
}

// TestTheSecondaryMayTakeItsOwn: what waits on the secondary can be ended there, once.
func TestTheSecondaryMayTakeItsOwn(t *testing.T) {
	one, two := apart(t)
	two.edit(idle("s2", 1))
	one.edit(idle("s2", 2))
	one.edit(idle("s2", 3)) // the higher count wins
	meet(t, one, two)
	if !two.unread() || one.unread() {
		t.Fatal("lb2's changes are not told")
	}
	d := drafts{two.Appliance}
	if _, err := d.Draft(t.Context()); err != nil {
		t.Error(err)
	}
	if err := d.End(t.Context(), mgmt.By{User: "anna"}, "discard"); err != nil {
		t.Errorf("the notice cannot be ended: %v", err)
	}
	if err := d.End(t.Context(), mgmt.By{User: "anna"}, "discard"); err == nil {
		t.Error("it ends twice")
	}
}
