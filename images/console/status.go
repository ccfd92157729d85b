package console

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// status is the status screen.
func (m *Machine) status(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var b strings.Builder
	b.WriteString("\n\nvosbed load balancer\n\n")
	for _, c := range m.Cards() {
		fmt.Fprintf(&b, "  %-6s %s  %s  %s\n", c.Name, c.MAC, carrier(c.Up), strings.Join(c.Addrs, " "))
	}
	b.WriteString(m.daemonLines(ctx))
	for _, trouble := range m.Troubles() {
		b.WriteString("  ! " + trouble + "\n")
	}
	return b.String()
}

func carrier(up bool) string {
	if up {
		return "connected"
	}
	return "no cable "
}

// daemonLines are what the daemon says of itself.
func (m *Machine) daemonLines(ctx context.Context) string {
	st, err := m.Daemon.Brief(ctx)
	if err != nil {
		return "  The load balancer daemon does not answer yet.\n"
	}
	text := nodeLines(st)
	cfg, _, err := m.config(ctx)
	if err != nil {
		return text + "  ! " + err.Error() + "\n"
	}
	owned, err := m.owned(ctx)
	if errors.Is(err, errAwaited) {
		return text + "  What was given while the machine was deployed is being set.\n"
	}
	if err != nil {
		return text + "  ! " + err.Error() + "\n"
	}
	if !owned {
		return text + "  Not set up yet: press Enter to give it an address and a password.\n"
	}
	for _, a := range cfg.Node.Leased(m.leases(ctx, cfg.Node)).Management {
		text += fmt.Sprintf("  WebUI: https://%s/lbadmin/  (user %s)\n", a, User)
	}
	return text
}

// leases are the addresses by DHCP at which the WebUI is, by interface.
func (m *Machine) leases(ctx context.Context, n lb.Node) map[string]netip.Addr {
	if len(n.ManagementDHCP) == 0 {
		return nil
	}
	now, err := m.Daemon.System(ctx)
	if err != nil {
		return nil
	}
	out := map[string]netip.Addr{}
	for _, nic := range now.Interfaces {
		if nic.Lease == nil {
			continue
		}
		if p, err := netip.ParsePrefix(nic.Lease.Address); err == nil {
			out[nic.Name] = p.Addr()
		}
	}
	return out
}

// nodeLines tell the state of the node in a few lines.
func nodeLines(st api.Status) string {
	serving, servers := 0, 0
	for _, svc := range st.Services {
		for _, r := range svc.Servers {
			servers++
			if r.State == "serving" {
				serving++
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  Node %s, %s. %d virtual services, %d of %d real servers serving.\n", st.Node, st.Role, len(st.Services), serving, servers)
	for _, p := range st.Problems {
		b.WriteString("  ! " + p + "\n")
	}
	return b.String()
}

// config is the configuration in force, and its text.
func (m *Machine) config(ctx context.Context) (lb.Config, []byte, error) {
	text, _, err := m.Daemon.Config(ctx)
	if err != nil {
		return lb.Config{}, nil, answers(err)
	}
	cfg, err := config.ParseDraft("config.yaml", text)
	return cfg, text, err
}
