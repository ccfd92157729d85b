package scenario

import (
	"fmt"
	"maps"
	"slices"
)

// Kind returns the step's key, such as "fault"; "" when none or several are
// written.
func (st Step) Kind() string {
	kinds := st.kinds()
	if len(kinds) != 1 {
		return ""
	}
	return kinds[0]
}

func (st Step) kinds() []string {
	present := []struct {
		name string
		is   bool
	}{
		{"start", st.Start != nil},
		{"stop", st.Stop != nil},
		{"run", st.Run != ""},
		{"wait", st.Wait != 0},
		{"until", st.Until != nil},
		{"fault", st.Fault != nil},
		{"heal", st.Heal != ""},
		{"admin", st.Admin != nil},
		{"pair", st.Pair != nil},
		{"restart", st.Restart != ""},
		{"kill-daemon", st.KillDaemon != ""},
		{"persistence", st.Persistence != nil},
		{"trials", st.Trials != nil},
		{"interleave", st.Interleave != nil},
		{"sample", st.Sample != nil},
		{"ledger", st.Ledger != nil},
		{"arp", st.ARP != nil},
		{"forget", st.Forget != ""},
		{"carried", st.Carried != ""},
		{"parallel", st.Parallel != nil},
		{"play", st.Play != nil},
		{"browser", st.Browser != nil},
		{"password", st.Password != nil},
	}
	var out []string
	for _, p := range present {
		if p.is {
			out = append(out, p.name)
		}
	}
	return out
}

func (c *checker) steps(at string, steps []Step) {
	for i, st := range steps {
		c.step(fmt.Sprintf("%s[%d]", at, i), st)
	}
}

func (c *checker) step(at string, st Step) {
	kinds := st.kinds()
	if len(kinds) != 1 {
		c.failf(at, "a step does exactly one thing, this one %v -- make it several steps", kinds)
		return
	}
	at += "." + kinds[0]
	switch kinds[0] {
	case "start", "stop":
		for i, l := range append(slices.Clone(st.Start), st.Stop...) {
			c.loadName(fmt.Sprintf("%s[%d]", at, i), l)
		}
	case "run":
		c.loadName(at, st.Run)
	case "until":
		c.expr(at+".expr", st.Until.Expr)
		if st.Until.Node != "" && st.Until.Node != "all" {
			c.target(at+".node", st.Until.Node)
		}
	case "fault":
		c.fault(at, *st.Fault)
	case "heal":
		c.faultName(at, st.Heal)
	case "restart", "kill-daemon":
		c.target(at, st.Restart+st.KillDaemon)
	case "pair":
		c.target(at, st.Pair.Takeover+st.Pair.Release)
	case "trials":
		if st.Trials.Count < 1 {
			c.failf(at+".count", "at least one trial")
		}
		c.steps(at+".steps", st.Trials.Steps)
	case "interleave":
		for i, l := range st.Interleave.Loads() {
			c.loadName(at+"."+"abc"[i:i+1], l)
		}
	case "parallel":
		c.steps(at, st.Parallel)
	default:
		c.atNode(at, kinds[0], st)
	}
}

// atNode checks the steps that look at one node or do something there.
func (c *checker) atNode(at, kind string, st Step) {
	switch kind {
	case "sample":
		c.expr(at+".expr", st.Sample.Expr)
		if st.Sample.Node != "" {
			c.target(at+".node", st.Sample.Node)
		}
	case "ledger":
		c.target(at+".node", st.Ledger.Node)
		if _, err := ParseFreeExpr(st.Ledger.Expr); err != nil {
			c.failf(at+".expr", "%v", err)
		}
	case "arp":
		c.node(at+".node", st.ARP.Node)
		if st.ARP.Set != "solved" && st.ARP.Set != "unsolved" {
			c.failf(at+".set", "arp is solved or unsolved, not %q", st.ARP.Set)
		}
	case "forget":
		c.node(at, st.Forget)
	case "play":
		c.play(at, *st.Play)
	case "browser":
		c.browser(at, *st.Browser)
	case "password":
		c.password(at, *st.Password)
	}
}

func (c *checker) loadName(at, name string) {
	if _, ok := c.s.Loads[name]; !ok {
		c.failf(at, "unknown load %q -- %s", name, hint(name, slices.Sorted(maps.Keys(c.s.Loads))))
	}
}

func (c *checker) fault(at string, f Fault) {
	want, ok := FaultKinds()[f.Kind]
	if !ok {
		c.failf(at+".kind", "unknown fault %q -- %s", f.Kind, hint(f.Kind, slices.Sorted(maps.Keys(FaultKinds()))))
	}
	c.target(at+".target", f.Target)
	if m := c.plan.Node(f.Target); want != "" && m != nil && m.Kind != want {
		c.failf(at+".target", "%s needs a %s node, %s is of kind %s", f.Kind, want, m.Name, m.Kind)
	}
	if f.Kind == "loss" && (f.Loss <= 0 || f.Loss > 1) {
		c.failf(at+".loss", "write the share of frames lost, between 0 and 1")
	}
	c.faults[f.Label()] = true
}
