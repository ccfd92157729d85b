package scenario

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/harness/traffic"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

type loadSpec = traffic.Spec

// FaultKinds returns the kinds of faults, sorted, and what each needs as target.
func FaultKinds() map[string]string {
	return map[string]string{
		"kill": "", "freeze": "", "cut": "", "blackhole": "", "loss": "",
		"unhealthy": topo.KindSimVOS, "hang": topo.KindSimVOS, "refuse": topo.KindSimVOS,
		"slow": topo.KindSimVOS, "media-dead": topo.KindSimVOS, "wrong-source": topo.KindSimVOS,
	}
}

// checker gathers semantic mistakes with their places.
type checker struct {
	s      *Scenario
	doc    *strictyaml.Doc
	plan   *topo.Plan
	faults map[string]bool
	errs   []error
}

func check(s *Scenario, doc *strictyaml.Doc) error {
	c := &checker{s: s, doc: doc, faults: map[string]bool{}}
	plan, err := s.Plan()
	if err != nil {
		c.failf("topology", "%v", err)
		return strictyaml.Join(c.errs...).Or()
	}
	c.plan = plan
	for _, name := range slices.Sorted(maps.Keys(s.Loads)) {
		c.load(name, s.Loads[name])
	}
	c.requires()
	c.fresh()
	c.wires("wire", s.Wire)
	c.steps("steps", s.Steps)
	c.expect()
	c.mutants()
	return strictyaml.Join(c.errs...).Or()
}

func (c *checker) failf(path, format string, args ...any) {
	c.errs = append(c.errs, c.doc.Errorf(path, format, args...))
}

func (c *checker) load(name string, l loadSpec) {
	at := "loads." + name
	_, known := traffic.Kinds()[l.Kind]
	if !known {
		c.failf(at+".kind", "unknown kind of load %q -- %s", l.Kind, hint(l.Kind, slices.Sorted(maps.Keys(traffic.Kinds()))))
	}
	if m := c.plan.Node(l.From); m == nil {
		c.failf(at+".from", "unknown node %q -- %s", l.From, c.nearNode(l.From))
	}
	if _, err := c.plan.Resolve(l.To); err != nil {
		c.failf(at+".to", "%v", err)
	}
	if err := l.Fits(); err != nil && known {
		c.failf(at+".rate", "%v", err)
	}
}

func (c *checker) nearNode(name string) string {
	var names []string
	for _, m := range c.plan.Nodes {
		names = append(names, m.Name)
	}
	return hint(name, names)
}

func hint(word string, names []string) string {
	if near := strictyaml.Nearest(word, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "there are " + strings.Join(names, ", ")
}

func (c *checker) wires(at string, rules []WireRule) {
	for i, w := range rules {
		c.node(fmt.Sprintf("%s[%d].node", at, i), w.Node)
		if w.Drop != "" && w.Drop != "all" && w.Drop != "garp" {
			c.failf(fmt.Sprintf("%s[%d].drop", at, i), "unknown rule %q -- use all or garp", w.Drop)
		}
		if w.Loss < 0 || w.Loss > 1 {
			c.failf(fmt.Sprintf("%s[%d].loss", at, i), "loss is a share between 0 and 1")
		}
	}
}

func (c *checker) node(at, name string) {
	if c.plan.Node(name) == nil {
		c.failf(at, "unknown node %q -- %s", name, c.nearNode(name))
	}
}

// target accepts a node, role(active), role(passive), target(F), peer(F).
func (c *checker) target(at, sel string) {
	m := selector().FindStringSubmatch(sel)
	if m == nil {
		c.node(at, sel)
		return
	}
	switch m[1] {
	case "role":
		if m[2] != "active" && m[2] != "passive" {
			c.failf(at, "unknown role %q -- use role(active) or role(passive)", m[2])
		}
	default:
		c.faultName(at, m[2])
	}
}

func selector() *regexp.Regexp { return regexp.MustCompile(`^(role|target|peer)\(([^)]*)\)$`) }

func (c *checker) faultName(at, name string) {
	if !c.faults[name] {
		c.failf(at, "no fault %q before this step -- %s", name, hint(name, slices.Sorted(maps.Keys(c.faults))))
	}
}

func (c *checker) expect() {
	seen := map[string]bool{}
	for i, e := range c.s.Expect {
		at := fmt.Sprintf("expect[%d]", i)
		if e.Name == "" || seen[e.Name] {
			c.failf(at+".name", "every expectation needs a name of its own")
		}
		seen[e.Name] = true
		forms := 0
		for _, f := range []string{e.Metric, e.Eventually, e.Always, e.Never} {
			if f != "" {
				forms++
			}
		}
		if forms != 1 {
			c.failf(at, "write exactly one of metric, eventually, always, never")
		}
		if e.Metric != "" && e.Min == nil && e.Max == nil && e.Equals == nil {
			c.failf(at, "a metric needs min, max or equals")
		}
		if (e.Always != "" || e.Never != "") && e.Witness == "" {
			c.failf(at, "always and never need a witness -- an expression that must hold once, so that the promise is not empty")
		}
		if e.Node != "" {
			c.node(at+".node", e.Node)
		}
		for _, x := range []string{e.Eventually, e.Always, e.Never, e.Witness} {
			c.expr(at, x)
		}
	}
}

func (c *checker) expr(at, text string) {
	if text == "" {
		return
	}
	if _, err := ParseExpr(text); err != nil {
		c.failf(at, "%v", err)
	}
}

func (c *checker) mutants() {
	for i, m := range c.s.Mutants {
		at := fmt.Sprintf("mutants[%d]", i)
		c.mustFail(at+".must_fail", m)
		c.wires(at+".change.wire", m.Change.Wire)
		for j, f := range m.Change.Faults {
			c.fault(fmt.Sprintf("%s.change.faults[%d]", at, j), f)
		}
		if _, err := topo.Compute(whole(c.s.Topology.Merge(m.Change.Topology))); err != nil {
			c.failf(at+".change.topology", "%v", err)
		}
	}
}

// mustFail accepts an expectation, or "steps: NAME": some step fails in many a way.
func (c *checker) mustFail(at string, m Mutant) {
	name, step := m.Proof()
	known := stepNames(c.s.Steps)
	switch {
	case name != Steps:
		if !slices.ContainsFunc(c.s.Expect, func(e Expectation) bool { return e.Name == m.MustFail }) {
			c.failf(at, "no expectation %q", m.MustFail)
		}
	case step == "":
		c.failf(at, "which step must fail? -- write %q", Steps+": NAME")
	case !slices.Contains(known, step):
		c.failf(at, "no step %q -- %s", step, hint(step, known))
	}
}

// stepNames are the names that steps were given.
func stepNames(steps []Step) []string {
	var out []string
	for _, st := range steps {
		if st.Name != "" {
			out = append(out, st.Name)
		}
		out = append(out, stepNames(st.Parallel)...)
		if st.Trials != nil {
			out = append(out, stepNames(st.Trials.Steps)...)
		}
	}
	return out
}

// Steps is the name of the expectation that every scenario has: no step failed.
const Steps = "steps"

// IsMistake tells a broken or unknown scenario or mutant from other errors.
func IsMistake(err error) bool {
	var many strictyaml.Errors
	var one strictyaml.Error
	return errors.Is(err, ErrUnknown) || errors.Is(err, ErrNoMutant) || errors.As(err, &many) || errors.As(err, &one)
}

// Render writes the mistakes of err for a terminal, with their source lines.
func Render(err error) string {
	if many, ok := errors.AsType[strictyaml.Errors](err); ok {
		return many.Render()
	}
	return err.Error()
}
