package step

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
)

// remote returns the API of the node a selector means.
func (r *Runner) remote(ctx context.Context, sel string) (*lab.Remote, string, error) {
	node, _, err := r.resolve(ctx, sel)
	if err != nil {
		return nil, "", err
	}
	rem, err := r.Lab.Node(node).Remote()
	return rem, node, err
}

// admin sets a real server online, to drain or to halt. Drain and halt stand in
// the history as faults of that kind, healed by online, so that their effect on
// probes and persistence is measured in the same way.
func (r *Runner) admin(ctx context.Context, st scenario.Step, _ int) error {
	a := *st.Admin
	if a.Node == "" {
		a.Node = "role(active)"
	}
	rem, _, err := r.remote(ctx, a.Node)
	if err != nil {
		return err
	}
	state, id := adminState(a)
	want := api.ServerState{State: state}
	if a.Deadline > 0 {
		want.Deadline = a.Deadline.String()
	}
	name := state
	if a.Name != "" {
		name = a.Name
	}
	r.markAdmin(name, state, id)
	return rem.SetServer(ctx, id, want)
}

// markAdmin ends the fault that the server's state was until now, and begins the
// one that it is from now on.
func (r *Runner) markAdmin(name, state, id string) {
	_, server, _ := strings.Cut(id, "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.admins == nil {
		r.admins = map[string]string{}
	}
	f := observe.Fault{Kind: r.admins[id], Target: server, Server: r.serverID(server)}
	if f.Kind != "" {
		r.Lab.Record(observe.KindHeal, server, f.Kind, f)
		delete(r.admins, id)
	}
	if state != "online" {
		f.Kind = name
		r.admins[id] = name
		r.Lab.Record(observe.KindFault, server, name, f)
	}
}

// Times of a planned switchover: what it lost is known a little after it.
const (
	switchTime = 20 * time.Second
	switchRest = time.Second
)

// pair commands a planned switchover, which stands in the history as a fault of
// kind takeover or release on the node that gives the VIPs away.
func (r *Runner) pair(ctx context.Context, st scenario.Step, _ int) error {
	command, sel := "takeover", st.Pair.Takeover
	if sel == "" {
		command, sel = "release", st.Pair.Release
	}
	rem, node, err := r.remote(ctx, sel)
	if err != nil {
		return err
	}
	from, to := r.other(node), node
	if command == "release" {
		from, to = to, from
	}
	f := observe.Fault{Kind: command, Target: from}
	r.Lab.Record(observe.KindFault, from, command, f)
	if err := rem.Pair(ctx, command); err != nil {
		return err
	}
	now := scenario.Step{Until: &scenario.Until{Expr: `role == "active"`, Node: to, Within: switchTime}}
	if err := r.until(ctx, now, 0); err != nil {
		return fmt.Errorf("%s of %s: %w", command, to, err)
	}
	if err := sleep(ctx, switchRest); err != nil {
		return err
	}
	r.Lab.Record(observe.KindHeal, from, command, f)
	return nil
}

// other returns the appliance that is not node.
func (r *Runner) other(node string) string {
	for _, m := range r.Lab.Plan().OfKind(topo.KindAppliance) {
		if m.Name != node {
			return m.Name
		}
	}
	return ""
}

// persistence clears entries of the active appliance.
func (r *Runner) persistence(ctx context.Context, st scenario.Step, _ int) error {
	rem, _, err := r.remote(ctx, "role(active)")
	if err != nil {
		return err
	}
	q := st.Persistence.Clear
	return rem.ClearPersistence(ctx, q.Service, q.Client, q.Server)
}

// restart kills a node's program and starts it again.
func (r *Runner) restart(ctx context.Context, st scenario.Step, _ int) error {
	return r.again(ctx, st.Restart)
}

// arp starts a simulated server again with its ARP problem solved or unsolved.
func (r *Runner) arp(ctx context.Context, st scenario.Step, _ int) error {
	if err := r.Lab.Terminate(ctx, st.ARP.Node); err != nil {
		return err
	}
	r.Lab.SetARP(st.ARP.Node, st.ARP.Set)
	return r.Lab.StartNode(ctx, st.ARP.Node)
}

// forget makes a node ask anew who has the VIPs.
func (r *Runner) forget(_ context.Context, st scenario.Step, _ int) error {
	return r.Lab.Forget(st.Forget)
}

// killDaemon does the same to an appliance: kill -9 and start at once, within the
// lease if the daemon is quick.
func (r *Runner) killDaemon(ctx context.Context, st scenario.Step, _ int) error {
	return r.again(ctx, st.KillDaemon)
}

func (r *Runner) again(ctx context.Context, sel string) error {
	node, role, err := r.resolve(ctx, sel)
	if err != nil {
		return err
	}
	f := observe.Fault{Kind: "restart", Target: node, Role: role, Server: r.serverID(node)}
	r.Lab.Record(observe.KindFault, node, "restart", f)
	err = r.Lab.Restart(ctx, node)
	r.Lab.Record(observe.KindHeal, node, "restart", f)
	return err
}
