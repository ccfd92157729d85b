package appliance

import (
	"fmt"
	"net/netip"
	"strings"
	"text/tabwriter"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// PlanText tells for people what a node with that configuration would program,
// with every real server healthy: addresses, services, servers and checks. It
// reads nothing of the machine, so interfaces that are not named in the
// configuration stay open.
func PlanText(cfg lb.Config) string {
	p := healthyPlan(cfg, "the interface whose subnet holds it")
	var b strings.Builder
	fmt.Fprintf(&b, "Plan of %s (%s), with every real server healthy\n", cfg.Node.Name, cfg.Node.Seat)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	planVIPs(w, p)
	for _, svc := range p.L4.Services {
		planL4(w, svc)
	}
	for _, f := range p.L7.Frontends {
		planL7(w, f)
	}
	planProbes(w, p.Probes)
	_ = w.Flush() // a strings.Builder does not fail
	return b.String()
}

// healthyPlan is the plan with every real server healthy. The choice of an interface by
// subnet is the node's: here one link of that name stands for whichever it is.
func healthyPlan(cfg lb.Config, chosen string) plan.Plan {
	health := map[lb.RealID]bool{}
	for _, svc := range cfg.Services {
		for _, r := range svc.Reals {
			health[lb.RealID{Service: svc.Name, Real: r.Name}] = true
		}
	}
	links := []plan.Link{{Name: chosen, Default: true}}
	return plan.Compute(plan.Inputs{Config: cfg, Health: health, Links: links})
}

func planVIPs(w *tabwriter.Writer, p plan.Plan) {
	lease := "no lease: there is no peer, or the lease is off"
	if p.L4.Leased {
		lease = "under a lease: the kernel stops answering when the daemon does"
	}
	fmt.Fprintf(w, "\nVIPs, owned while active, %s\n", lease)
	for _, v := range p.VIPs {
		fmt.Fprintf(w, "  %s\ton %s\n", netip.PrefixFrom(v.Addr, v.Addr.BitLen()), v.Interface)
	}
}

func planL4(w *tabwriter.Writer, s plan.L4Service) {
	fmt.Fprintf(w, "\nLayer 4, direct routing: %s\n", s.Name)
	fmt.Fprintf(w, "  listen\t%s %s %s\n", s.Addr, s.Protocols, s.Ports)
	fmt.Fprintf(w, "  choose\t%s, %s\n", s.Scheduler, persistenceText(s.Persistence, s.DrainPersistent))
	for _, r := range s.Reals {
		fmt.Fprintf(w, "  server\t%s\t%s\tweight %d%s\n", r.Name, r.Addr, r.Weight, limitText(r.MinConns, r.MaxConns))
	}
}

func planL7(w *tabwriter.Writer, f plan.Frontend) {
	fmt.Fprintf(w, "\nLayer 7, proxy: %s\n", f.Name)
	fmt.Fprintf(w, "  listen\t%s tcp %s\n", f.Addr, f.Ports)
	fmt.Fprintf(w, "  choose\t%s, %s\n", f.Scheduler, persistenceText(f.Persistence, f.DrainPersistent))
	limit := "limited by file descriptors only"
	if f.Settings.MaxConns > 0 {
		limit = fmt.Sprintf("at most %d connections", f.Settings.MaxConns)
	}
	fmt.Fprintf(w, "  limits\t%s; connect %s, then %d more servers; idle %s; half-closed %s\n", limit,
		f.Settings.ConnectTimeout, f.Settings.Retries, f.Settings.IdleTimeout, f.Settings.FinTimeout)
	for _, r := range f.Backends {
		port := "the client's port"
		if r.Port != 0 {
			port = fmt.Sprintf("port %d", r.Port)
		}
		fmt.Fprintf(w, "  server\t%s\t%s\tweight %d, %s%s\n", r.Name, r.Addr, r.Weight, port, limitText(r.MinConns, r.MaxConns))
	}
}

func persistenceText(p lb.Persistence, drainPersistent bool) string {
	if p.Kind == lb.PersistNone {
		return "no persistence"
	}
	text := fmt.Sprintf("persistence by %s for %s, masks /%d and /%d", p.Kind, p.Timeout, p.Mask4, p.Mask6)
	if drainPersistent {
		text += ", kept while draining"
	}
	return text
}

func limitText(least, most int) string {
	if most == 0 {
		return ""
	}
	return fmt.Sprintf(", full at %d connections until %d", most, least)
}

func planProbes(w *tabwriter.Writer, probes []plan.Probe) {
	fmt.Fprint(w, "\nHealth checks\n")
	for _, p := range probes {
		fmt.Fprintf(w, "  %s\t%s\n", p.ID, checkText(p))
	}
}

func checkText(p plan.Probe) string {
	c := p.Check
	switch c.Kind {
	case lb.CheckOn:
		return "never checked, always up"
	case lb.CheckOff:
		return "never checked, always down"
	case lb.CheckNegotiate, lb.CheckConnect, lb.CheckPing:
	}
	text := c.Target(p.Target)
	if c.Kind == lb.CheckNegotiate {
		text += expectText(c)
	}
	text += fmt.Sprintf("; every %s, within %s, down after %d, up after %d", c.Interval, c.Timeout, c.Fall, c.Rise)
	if c.ThroughVIP && p.VIP.IsValid() {
		text += fmt.Sprintf("; also through %s", p.VIP)
	}
	return text
}

func expectText(c lb.HealthCheck) string {
	text := fmt.Sprintf(" = status %s", strings.Trim(fmt.Sprint(c.Statuses), "[]"))
	if c.Match != lb.MatchAny {
		text += fmt.Sprintf(" and body %s %q", c.Match, c.Expect)
	}
	return text
}
