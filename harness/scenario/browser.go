package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/harness/browser"
	"github.com/vosbed/vosbed/harness/topo"
)

// Chromium is the browser that browser steps run.
const Chromium = "chromium"

// maxActions bounds a browser step.
const maxActions = 100

// BrowserStep does something in a real browser on a clients node. The browser stays
// open from step to step, one per node.
type BrowserStep struct {
	From string           `yaml:"from" strict:"required"` // a clients node
	To   string           `yaml:"to" strict:"required"`   // an appliance, whose WebUI paths are opened
	Do   []browser.Action `yaml:"do" strict:"required"`
	// Screenshot can be switched off; that of a failure is taken always.
	Screenshot *bool `yaml:"screenshot,omitempty"`
}

// Pictured reports whether the step's end is to be pictured even if it succeeds.
func (b BrowserStep) Pictured() bool { return b.Screenshot == nil || *b.Screenshot }

// PasswordStep sets the password of an administrator, as one does on the console.
type PasswordStep struct {
	Node  string `yaml:"node" strict:"required"` // an appliance
	User  string `yaml:"user" strict:"required"`
	Value string `yaml:"value" strict:"required"`
}

func (c *checker) browser(at string, b BrowserStep) {
	c.ofKind(at+".from", b.From, topo.KindClients, "browsers run on")
	c.ofKind(at+".to", b.To, topo.KindAppliance, "a browser opens")
	if len(b.Do) == 0 || len(b.Do) > maxActions {
		c.failf(at+".do", "between 1 and %d actions -- loads are bounded", maxActions)
	}
	for i, a := range b.Do {
		if err := a.Check(); err != nil {
			c.failf(fmt.Sprintf("%s.do[%d]", at, i), "%v", err)
		}
		if a.Axe && !slices.ContainsFunc(c.s.Expect, judgesAxe) {
			c.failf(fmt.Sprintf("%s.do[%d]", at, i), "nothing judges what axe finds -- add an expectation on %s", browser.MetricViolations)
		}
	}
}

func judgesAxe(e Expectation) bool { return strings.HasPrefix(e.Metric, browser.MetricViolations) }

func (c *checker) password(at string, p PasswordStep) {
	c.ofKind(at+".node", p.Node, topo.KindAppliance, "passwords belong to")
}

// ofKind checks that a node is there and of a kind.
func (c *checker) ofKind(at, name, kind, what string) {
	if m := c.plan.Node(name); m == nil {
		c.node(at, name)
	} else if m.Kind != kind {
		c.failf(at, "%s %s nodes, %s is of kind %s", what, kind, m.Name, m.Kind)
	}
}

// fresh checks the key of an appliance overlay that is not of its configuration.
func (c *checker) fresh() {
	switch v := c.s.Appliance[FreshKey].(type) {
	case nil, bool:
	case []any:
		for _, name := range v {
			text, _ := name.(string)
			c.ofKind("appliance.fresh", text, topo.KindAppliance, "fresh are")
		}
	default:
		c.failf("appliance.fresh", "write true, or a list of appliances")
	}
}
