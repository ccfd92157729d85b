package lab

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
)

// Drivers are the ways to run an appliance.
const (
	DriverProcess = "process" // lbd, in the node's namespace
	DriverVM      = "vm"      // the booted image, with taps for network cards
)

// driver runs appliances. Everything else of the lab is the same for all: a fault stops
// or kills the processes that live in the node's namespace, whatever they are.
type driver interface {
	// outside says that the appliance's network cards are not interfaces of its
	// namespace: the lab gives them a port and configures nothing.
	outside() bool
	// start starts the appliance of a node and returns when it serves.
	start(context.Context, *Lab, *Node) error
	// join makes a pair of appliances that have been started for the first time.
	join(context.Context, *Lab) error
	// remote is how its API is reached.
	remote(*Lab, *Node) (*Remote, error)
	// pollEvery and pollTime are how often its status is read, and within which time.
	pollEvery() time.Duration
	pollTime() time.Duration
}

// processes runs lbd.
type processes struct{}

func (processes) pollEvery() time.Duration { return pollEvery }

func (processes) pollTime() time.Duration { return pollTime }

func (processes) outside() bool { return false }

func (processes) start(ctx context.Context, l *Lab, n *Node) error { return l.startAppliance(ctx, n) }

func (processes) join(context.Context, *Lab) error { return nil } // their configuration says it

func (processes) remote(_ *Lab, n *Node) (*Remote, error) {
	tr := &http.Transport{DialContext: dialUnix(n.Socket()), DisableKeepAlives: true}
	return &Remote{node: n.Name, base: "http://appliance", http: &http.Client{Transport: tr}}, nil
}

// Inapplicable lists what a scenario does that a virtual machine cannot, in words.
func Inapplicable(scn *scenario.Scenario, plan *topo.Plan) []string {
	var out []string
	say := func(what, why string) { out = append(out, what+": not applicable with this driver: "+why) }
	if scn.Dataplane != "" && scn.Dataplane != "auto" {
		say("dataplane: "+scn.Dataplane, "the image chooses its engine itself")
	}
	for _, m := range plan.OfKind(topo.KindAppliance) {
		if _, fresh := scn.Appliance.Fresh(m.Name); fresh {
			say("appliance: fresh: "+m.Name, "a machine is deployed with its configuration")
		}
	}
	if n := len(plan.OfKind(topo.KindAppliance)); n == 0 || n > 2 {
		say(fmt.Sprintf("topology: %d appliances", n), "one, or a pair, is booted")
	}
	return append(out, inapplicableSteps(scn.Steps)...)
}

func inapplicableSteps(steps []scenario.Step) []string {
	var out []string
	for _, st := range steps {
		why := ""
		switch {
		case st.KillDaemon != "":
			why = "the daemon cannot be killed apart from its machine: use restart"
		case st.Browser != nil:
			why = "browsers are not pointed at machines yet"
		}
		if why != "" {
			out = append(out, "step "+st.Kind()+": not applicable with this driver: "+why)
		}
		out = append(out, inapplicableSteps(st.Parallel)...)
		if st.Trials != nil {
			out = append(out, inapplicableSteps(st.Trials.Steps)...)
		}
	}
	return out
}
