package lab

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"

	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
)

// Ports of the pair (guide 9.5).
const (
	portHeartbeat   = 6694
	portReplication = 7778
	portManagement  = 9443
)

// NodeSection makes the node-scope part of an appliance's configuration: its
// names, addresses and the paths to its peer.
func NodeSection(p *topo.Plan, m *topo.Machine) map[string]any {
	node := freshNode(m)
	if gw := gateways4(m); len(gw) > 0 {
		node["ping"] = gw
	}
	peer := peerOf(p, m)
	if peer == nil {
		return node
	}
	var paths []any
	for _, port := range m.Ports {
		far := peer.PortOn(port.Network)
		if far == nil || len(port.Addrs) == 0 || len(far.Addrs) == 0 {
			continue
		}
		paths = append(paths, map[string]any{
			"name":  port.Network,
			"local": netip.AddrPortFrom(port.Addrs[0].Addr(), portHeartbeat).String(),
			"peer":  netip.AddrPortFrom(far.Addrs[0].Addr(), portHeartbeat).String(),
		})
		node["replication"] = map[string]any{ // the last common network: the direct one, if there is one
			"local": netip.AddrPortFrom(port.Addrs[0].Addr(), portReplication).String(),
			"peer":  netip.AddrPortFrom(far.Addrs[0].Addr(), portReplication).String(),
		}
	}
	node["heartbeat"] = paths
	return node
}

// freshNode is what a node knows out of the box: its name, its place in a pair on paper
// and where its WebUI listens.
func freshNode(m *topo.Machine) map[string]any {
	node := map[string]any{"name": m.Name}
	if m.Role != "" {
		node["role"] = m.Role
	}
	if a := WebUI(m); a.IsValid() {
		node["management"] = []any{a.String()}
	}
	return node
}

// WebUI returns where an appliance's WebUI listens.
func WebUI(m *topo.Machine) netip.AddrPort {
	if a := m.Addr(4); a.IsValid() {
		return netip.AddrPortFrom(a, portManagement)
	}
	return netip.AddrPort{}
}

func gateways4(m *topo.Machine) []any {
	var out []any
	for _, g := range m.Gateways {
		if g.Is4() {
			out = append(out, g.String())
		}
	}
	return out
}

// peerOf returns the other appliance, or nil.
func peerOf(p *topo.Plan, m *topo.Machine) *topo.Machine {
	for _, o := range p.OfKind(topo.KindAppliance) {
		if o.Name != m.Name {
			return o
		}
	}
	return nil
}

// Configure makes the configuration file and the pairing secret of every
// appliance: the base, changed by the scenario's overlay and then by the node's
// own, with the node section written by the lab. A fresh one has no base.
func Configure(p *topo.Plan, base, shared scenario.Overlay, own map[string]scenario.Overlay, dir string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, m := range p.OfKind(topo.KindAppliance) {
		over, fresh := shared.Fresh(m.Name)
		if fresh {
			over = scenario.Overlay{"node": freshNode(m)}.Merge(over).Merge(own[m.Name])
			b, err := over.YAML()
			if err != nil {
				return nil, fmt.Errorf("configuration of %s: %w", m.Name, err)
			}
			out[m.Name] = b
			continue
		}
		paired := peerOf(p, m) != nil
		cluster := map[string]any{"paired": paired}
		if paired {
			cluster["secret_file"] = SecretPath(dir, m.Name)
		}
		lab := scenario.Overlay{"cluster": cluster}
		cfg := base.Merge(lab).Merge(over).Merge(own[m.Name])
		cfg["node"] = NodeSection(p, m)
		b, err := cfg.YAML()
		if err != nil {
			return nil, fmt.Errorf("configuration of %s: %w", m.Name, err)
		}
		out[m.Name] = b
	}
	return out, nil
}

// Secrets draws the pairing secret; every appliance gets the same, but the node
// named odd gets one of its own, and fresh ones get none.
func Secrets(p *topo.Plan, over scenario.Overlay, odd string) (map[string]string, error) {
	shared, err := newSecret()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, m := range p.OfKind(topo.KindAppliance) {
		if _, fresh := over.Fresh(m.Name); fresh {
			continue
		}
		out[m.Name] = shared
		if m.Name == odd {
			if out[m.Name], err = newSecret(); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func newSecret() (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("draw a pairing secret: %w", err)
	}
	return hex.EncodeToString(b) + "\n", nil
}

// Seeds makes the first configuration of every machine: the primary, or a node alone, has
// the base changed by the scenario's overlay, with timers stretched by a factor; its peer
// knows itself only, and gets the rest when the pair is made.
func Seeds(p *topo.Plan, base, shared scenario.Overlay, factor float64) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, m := range p.OfKind(topo.KindAppliance) {
		node := freshNode(m)
		node["system"] = systemSection(m)
		if gw := gateways4(m); len(gw) > 0 {
			node["ping"] = gw
		}
		cfg := scenario.Overlay{}
		if peerOf(p, m) == nil || m.Role != "secondary" {
			alone := scenario.Overlay{"cluster": map[string]any{"paired": false, "secret_file": nil}}
			cfg = base.Merge(alone).Merge(shared).Slow(factor)
		}
		cfg["node"] = node
		b, err := cfg.YAML()
		if err != nil {
			return nil, fmt.Errorf("configuration of %s: %w", m.Name, err)
		}
		out[m.Name] = b
	}
	return out, nil
}

// systemSection is what a machine sets of itself, where a node of the lab has it set.
func systemSection(m *topo.Machine) map[string]any {
	var interfaces, routes []any
	for _, port := range m.Ports {
		var addrs []any
		for _, a := range port.Addrs {
			addrs = append(addrs, a.String())
		}
		interfaces = append(interfaces, map[string]any{"name": port.Iface, "addresses": addrs})
	}
	for _, g := range m.Gateways {
		routes = append(routes, map[string]any{"to": "default", "via": g.String()})
	}
	out := map[string]any{"hostname": m.Name, "interfaces": interfaces}
	if routes != nil {
		out["routes"] = routes
	}
	return out
}
