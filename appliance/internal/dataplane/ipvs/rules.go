package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"

	"github.com/google/nftables"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Names in nftables: "nft list table inet vosbed_l4" shows them.
const (
	tableName = "vosbed_l4"
	chainName = "mark"
)

// ifNameSize is IFNAMSIZ of linux/if.h, with the final zero.
const ifNameSize = 16

// dropReasons are the counters of the table, as in dataplane.Counters.
func dropReasons() []string { return []string{"port_not_served", "no_server", "not_unicast"} }

// rule is one line of the chain: packets that match all of it meet its end.
type rule struct {
	addr  netip.Addr
	iface string
	match match
	proto lb.Protocols // with ports
	ports lb.PortSet
	// What becomes of the packet: mark it and let it go on, or count and drop it, or let
	// it go on.
	mark uint32
	drop string // a reason
}

// match is what a rule asks besides the address.
type match int

const (
	anything    match = iota
	notUnicast        // a frame for many
	icmpMessage       // ICMP of the address's family
	laterPart         // a fragment without ports: IPVS puts datagrams together first
	servedPort        // rule.proto and rule.ports
)

// rulesOf are the rules of what is desired. Services in empty have no server.
func rulesOf(d desired, empty map[uint32]bool) []rule {
	out := []rule{} // not nil: nil is what nobody has programmed yet
	for _, v := range d.vips {
		at := rule{addr: v.addr, iface: v.iface}
		add := func(m match, drop string) {
			r := at
			r.match, r.drop = m, drop
			out = append(out, r)
		}
		add(notUnicast, "not_unicast")
		add(icmpMessage, "")
		add(laterPart, "")
		for _, p := range v.ports {
			for _, proto := range []lb.Protocols{lb.TCP, lb.UDP} {
				if !p.protos.Has(proto) {
					continue
				}
				r := at
				r.match, r.proto, r.ports, r.mark = servedPort, proto, p.ports, p.mark
				if empty[p.mark] {
					r.mark, r.drop = 0, "no_server"
				}
				out = append(out, r)
			}
		}
		add(anything, "port_not_served")
	}
	return out
}

// mark makes the chain as wanted, in one transaction: no packet sees half of it. The
// counters of what is dropped stay.
func (p *Plane) mark(want []rule) error {
	if p.rules != nil && reflect.DeepEqual(p.rules, want) {
		return nil
	}
	table := p.nft.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	chain := p.nft.AddChain(&nftables.Chain{
		Name: chainName, Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityMangle,
	})
	p.nft.FlushChain(chain)
	for _, reason := range dropReasons() {
		p.nft.AddObj(&nftables.CounterObj{Table: table, Name: reason})
	}
	var errs []error
	for _, r := range want {
		errs = append(errs, p.add(chain, r))
	}
	if err := errors.Join(append(errs, p.nft.Flush())...); err != nil {
		p.rules = nil
		return fmt.Errorf("mark the services' packets with nftables: %w", err)
	}
	p.rules = want
	return nil
}
