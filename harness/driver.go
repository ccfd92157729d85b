package harness

import (
	"fmt"
	"strings"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/scenario"
)

// slowFactor stretches the time of a scenario whose appliances are emulated machines: two
// of them on two processors cannot hold heartbeats of 100 ms. It is 1 s then, and 3 s
// without one mean a dead peer.
const slowFactor = 10

// slowDown fits the scenario to the driver, and refuses one that it cannot run: a step
// that is left out would say nothing, and look as if it did.
func (r *run) slowDown() error {
	if r.opt.Driver != lab.DriverVM {
		r.opt.Image = ""
		return nil
	}
	if r.opt.Mutant != "" {
		return fmt.Errorf("%w: a mutant changes what only the driver %s can: run it without --driver", lab.ErrCannot, lab.DriverProcess)
	}
	if not := lab.Inapplicable(r.scn, r.plan); len(not) > 0 {
		return fmt.Errorf("%w: the driver %s cannot run %s:\n  %s", lab.ErrCannot, r.opt.Driver, r.scn.Name, strings.Join(not, "\n  "))
	}
	r.scn.Slow(slowFactor)
	return nil
}

// configs are the configurations of the appliances, or what their machines begin with.
func (r *run) configs(base scenario.Overlay) (map[string][]byte, error) {
	if r.opt.Driver == lab.DriverVM {
		return lab.Seeds(r.plan, base, r.scn.Appliance, slowFactor)
	}
	return lab.Configure(r.plan, base, r.scn.Appliance, r.mutant.Change.Nodes, r.opt.Dir)
}
