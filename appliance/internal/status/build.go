// Package status derives the one immutable picture of the appliance that pages,
// API and support read. It is pure: everything it needs is handed in.
package status

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Facts are everything a Status follows from.
type Facts struct {
	Config    lb.Config
	Revision  string
	Plan      plan.Plan
	Health    map[lb.RealID]lb.Health
	Overrides map[lb.RealID]lb.Override
	Pending   lb.PendingStatus
	Pair      lb.PairStatus
	Dataplane lb.DataplaneStatus
	Proxy     lb.ProxyStatus
	// Counters by service name, of layer 4 and layer 7 together.
	Counters map[string]lb.ServiceCounters
	// MACs are the resolved link addresses of real servers.
	MACs      map[netip.Addr]string
	Conflicts []lb.ARPConflict
	// Failed are the errors of actuators by name.
	Failed map[string]error
	// Notes are problems that their sources have put into words.
	Notes []string
	// CertificateEnd is when the certificate of the WebUI expires.
	CertificateEnd time.Time
	At             time.Time
}

// Build derives the Status. Services keep the order in which they were written.
func Build(f Facts) lb.Status {
	return lb.Status{
		Node: f.Config.Node.Name, Seat: f.Config.Node.Seat, Revision: f.Revision, At: f.At,
		Pending: f.Pending, Pair: f.Pair, Dataplane: f.Dataplane, Proxy: f.Proxy,
		Services:  services(f),
		Conflicts: conflicts(f),
		Problems:  problems(f),

		CertificateEnd: f.CertificateEnd,
	}
}

func services(f Facts) []lb.ServiceStatus {
	out := make([]lb.ServiceStatus, 0, len(f.Config.Services))
	for _, svc := range f.Config.Services {
		counters := f.Counters[svc.Name]
		s := lb.ServiceStatus{
			Name: svc.Name, Addr: svc.Addr, Ports: svc.Ports, Protocols: svc.Protocols,
			Layer: svc.Layer, Method: svc.Method, MaxConns: svc.Proxy.MaxConns, Counters: counters, Fallback: fallback(f.Plan, svc.Name),
		}
		for _, r := range svc.Reals {
			s.Reals = append(s.Reals, server(f, svc, r, counters.Reals[r.Name]))
		}
		out = append(out, s)
	}
	return out
}

// fallback reports whether a service shows the fallback page.
func fallback(p plan.Plan, service string) bool {
	return slices.ContainsFunc(p.L7.Frontends, func(fe plan.Frontend) bool { return fe.Name == service && fe.Fallback.IsValid() })
}

func server(f Facts, svc lb.VirtualService, r lb.RealServer, counters lb.RealCounters) lb.RealStatus {
	id := lb.RealID{Service: svc.Name, Real: r.Name}
	decision, health, over := f.Plan.Reals[id], f.Health[id], f.Overrides[id]
	out := lb.RealStatus{
		Name: r.Name, Addr: r.Addr, Port: r.Port, Weight: r.Weight, MaxConns: r.MaxConns,
		State: decision.State, Why: decision.Why, Admin: over.State, Deadline: over.Deadline,
		Health: health, Counters: counters,
	}
	if svc.Method == lb.DR {
		out.MAC = f.MACs[r.Addr]
	}
	if decision.State == lb.Down && health.Last.Failed != "" && !health.Last.At.IsZero() {
		out.Why = decision.Why + ": " + health.Last.Failed
	}
	return out
}

// conflicts names the claimant of each VIP where its MAC is a real server's.
func conflicts(f Facts) []lb.ARPConflict {
	names := map[string]string{}
	for _, svc := range f.Config.Services {
		for _, r := range svc.Reals {
			if mac := f.MACs[r.Addr]; mac != "" {
				names[mac] = r.Name
			}
		}
	}
	out := slices.Clone(f.Conflicts)
	for i := range out {
		if out[i].Server == "" {
			out[i].Server = names[out[i].MAC]
		}
	}
	return out
}

// problems are sentences, most urgent first: what failed, then what sources say, then
// what is wrong on the segment, then what the plan could not do.
func problems(f Facts) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(f.Failed)) {
		out = append(out, f.Failed[name].Error())
	}
	out = append(out, f.Notes...)
	out = append(out, f.Pair.Problems...)
	for _, c := range conflicts(f) {
		out = append(out, conflictText(c))
	}
	return append(out, f.Plan.Problems...)
}

func conflictText(c lb.ARPConflict) string {
	who := "an unknown machine with MAC " + c.MAC
	if c.Server != "" {
		who = fmt.Sprintf("real server %s (MAC %s)", c.Server, c.MAC)
	}
	return fmt.Sprintf("ARP problem: %s answers for VIP %s; clients can reach it past the load balancer: "+
		"solve the ARP problem there (guide section 8.2)", who, c.VIP)
}
