package appliance

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/dhcp"
	"github.com/vosbed/vosbed/appliance/internal/draft"
	"github.com/vosbed/vosbed/appliance/lb"
)

// refuse tells what an address is already, "" = nothing: no DHCP server may make this node
// take a VIP, or an address of a server or of its peer, nor have it look for those of
// another interface's network where the server is.
func (a *Appliance) refuse(name string, addr netip.Addr) string {
	cfg, _ := a.facts.current()
	for _, s := range cfg.Services {
		if s.Addr == addr {
			return "the VIP " + s.Name
		}
		for _, r := range s.Reals {
			if r.Addr == addr {
				return "the real server " + s.Name + "/" + r.Name
			}
		}
	}
	n := cfg.Node
	others := []netip.Addr{n.Replication.Peer.Addr()}
	for _, p := range n.Paths {
		others = append(others, p.Peer.Addr())
	}
	for _, r := range n.System.Routes {
		others = append(others, r.Via)
	}
	if slices.Contains(slices.Concat(others, n.PingNodes, n.System.DNS.Servers), addr) {
		return "another machine's in the configuration"
	}
	for _, i := range n.System.Interfaces {
		for _, p := range i.Addrs {
			switch {
			case p.Addr() == addr:
				return "a fixed address of " + i.Name
			case i.Name != name && p.Masked().Contains(addr):
				return fmt.Sprintf("of the network %s, which is that of %s", p.Masked(), i.Name)
			}
		}
	}
	return ""
}

// atLeased are the services whose VIP this node has leased for itself.
func (a *Appliance) atLeased(cfg lb.Config) (out []draft.Mistake) {
	for name, addr := range a.system.Leases() {
		if i, ours := cfg.Node.System.Interface(name); !ours || !i.DHCP {
			continue
		}
		for i, s := range cfg.Services {
			if s.Addr == addr {
				out = append(out, draft.Mistake{
					Path: fmt.Sprintf("services[%d].address", i), Message: fmt.Sprintf("%s has the address %s by DHCP", name, addr),
					Hint: "write another address, and keep those of VIPs out of what the DHCP server lends",
				})
			}
		}
	}
	return out
}

// leased opens the WebUI at the addresses that are leased now. It keeps off what changes the
// configuration meanwhile.
func (a *Appliance) leased() error {
	a.settings.reloading.Lock()
	defer a.settings.reloading.Unlock()
	cfg, _ := a.facts.current()
	if err := a.access.move(cfg, a.system.Leases()); err != nil {
		return fmt.Errorf("the WebUI is not at the leased addresses: %w", err)
	}
	return nil
}

// leaseText is a lease as the API tells it.
func leaseText(l dhcp.Lease) *api.NICLease {
	out := &api.NICLease{Address: l.Addr.String(), Server: l.Server.String(), DNS: []string{}, Renew: l.Renew.UTC(), End: l.End.UTC()}
	if l.Router.IsValid() {
		out.Router = l.Router.String()
	}
	for _, d := range l.DNS {
		out.DNS = append(out.DNS, d.String())
	}
	return out
}
