package support

import (
	"fmt"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/lb"
)

func (f Facts) pair() []api.SupportCheck {
	p := f.Status.Pair
	if !f.Config.Cluster.Paired {
		return []api.SupportCheck{skip("Pair", "this node has no peer")}
	}
	out := []api.SupportCheck{f.peerLink(p)}
	for _, h := range p.Paths {
		out = append(out, heartbeat(h))
	}
	for _, n := range p.Pings {
		name := "Ping node " + n.Addr.String()
		if n.Up {
			out = append(out, okay(name, "answers"))
		} else {
			out = append(out, fail(name, "look at the way to it: a node that reaches less than its peer gives the VIPs away", "is silent"))
		}
	}
	return append(out, f.replication(p), f.lease(p), realTime(p), f.peerClock())
}

func (f Facts) peerLink(p lb.PairStatus) api.SupportCheck {
	const name = "Link to the peer"
	switch {
	case !p.PeerAlive:
		return fail(name, "look at the peer, and at UDP 6694 between the nodes", "the peer is silent on all paths; this node is %s: %s", p.Role, p.Reason)
	case p.Role == lb.Active && p.PeerRole == lb.Active:
		return fail(name, "look at the heartbeat paths: exactly one node may be active", "both nodes are active")
	case p.Role != lb.Active && p.PeerRole != lb.Active:
		return warn(name, "wait a moment; if it stays so let one take over: lbctl ha takeover", "neither node is active: %s", p.Reason)
	}
	return okay(name, "the peer is %s, this node is %s: %s", p.PeerRole, p.Role, p.Reason)
}

func heartbeat(h lb.PathStatus) api.SupportCheck {
	name := "Heartbeat path " + h.Name
	switch {
	case !h.Up:
		return fail(name, "look at the interface, the cable and UDP 6694 of that path", "nothing is heard on it")
	case h.Rejected > 0:
		return warn(name, "compare the pairing secret and the clocks; a path that others can reach is a risk", "heard; %d heartbeats were rejected", h.Rejected)
	}
	return okay(name, "heard")
}

func (f Facts) replication(p lb.PairStatus) api.SupportCheck {
	const name = "Replication of persistence"
	switch {
	case !f.Config.Cluster.Replicate:
		return skip(name, "it is off (cluster.replicate)")
	case !p.InSync:
		return warn(name, "wait a moment; if it stays so look at TCP 7778 between the nodes", "the tables are not in sync: a takeover now would move clients to other servers")
	}
	return okay(name, "in sync, %d ms behind", p.Lag.Milliseconds())
}

func (f Facts) lease(p lb.PairStatus) api.SupportCheck {
	const name = "Lease"
	switch {
	case !f.Config.Cluster.Lease:
		return warn(name, "let cluster.lease_guard be true: without it a frozen node goes on answering", "it is off")
	case p.Role == lb.Active && !p.LeaseHeld:
		return fail(name, "the machine is overloaded, or the sentinel is gone: see the log", "this node is active and its lease is not renewed: the kernel serves nothing")
	case p.LeaseHeld:
		return okay(name, "renewed by this node")
	}
	return okay(name, "not held here, as this node is not active")
}

// clocksApart is what certificates and audit trails of a pair can bear.
const clocksApart = time.Minute

func (f Facts) peerClock() api.SupportCheck {
	const name = "Clock of the peer"
	switch {
	case f.PeerClock == nil:
		return skip(name, "the peer's WebUI does not answer at the address of its heartbeat")
	case f.PeerClock.Abs() > clocksApart:
		return warn(name, "let both nodes follow a time server", "the clocks are %v apart", f.PeerClock.Abs().Round(time.Second))
	}
	return okay(name, "less than a minute apart")
}

func realTime(p lb.PairStatus) api.SupportCheck {
	const name = "Real-time scheduling"
	if p.RealTime {
		return okay(name, "the heartbeat has it")
	}
	return warn(name, "run lbd with CAP_SYS_NICE, or set the real-time limit of its service", "%s", strings.TrimSpace(fmt.Sprintf("the heartbeat does not have it: under load it may come late. %s", p.RealTimeNo)))
}

func (f Facts) storage() []api.SupportCheck {
	out := []api.SupportCheck{
		stored("History of the configuration", "make "+f.Storage.HistoryDir+" writable: without it no change can be taken back", "can be written", f.Storage.History),
		stored("Audit trail", "keep the files for whoever looks into it; somebody or a broken disk changed them", "the chain of its lines is whole", f.Storage.Trail),
	}
	if f.Storage.Accounts == 0 {
		return append(out, warn("Accounts", "set the first password: lbctl passwd", "nobody may log in yet"))
	}
	return append(out, okay("Accounts", "there are %d", f.Storage.Accounts))
}

func stored(name, fix, seen string, err error) api.SupportCheck {
	if err != nil {
		return fail(name, fix, "%v", err)
	}
	return okay(name, "%s", seen)
}
