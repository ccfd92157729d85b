package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) systemCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "system", Short: "Show the machine: hostname, interfaces, routes, resolver, clock", Args: noArgs,
		Long: `system shows what the machine is at present, whoever made it so: addresses and
routes are "configured" by this appliance, a "vip", or made by others.

What the machine shall be is configured with lbctl set system; see the keys below
node.system in the reference configuration. Nothing that is not configured there is
ever changed. Changes of interfaces and routes are applied on trial, so that a slip
does not cut the node off.`,
		Example: `  lbctl system
  lbctl set system interfaces[0].name=eth1 interfaces[0].addresses=10.94.0.1/30
  lbctl set system interfaces[1].name=eth1.100 interfaces[1].vlan.link=eth1 \
                   interfaces[1].vlan.id=100 interfaces[1].addresses=10.100.0.1/24
  lbctl set system interfaces[0].name=bond0 interfaces[0].bond.members=eth2,eth3 \
                   interfaces[0].addresses=10.95.0.1/24
  lbctl set system interfaces[0].name=eth0 interfaces[0].dhcp=true
  lbctl set node management_dhcp=eth0
  lbctl changes && lbctl apply --trial 60s
  lbctl system && lbctl keep`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				s, err := c.System(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(s, systemText(s, a.color))
			})
		},
	}
	cmd.AddCommand(a.clockCommand())
	return cmd
}

func systemText(s api.System, colored bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "hostname  %s\n", s.Hostname)
	fmt.Fprintf(&b, "resolver  %s%s\n", orNone(s.Resolver.Servers), searching(s.Resolver))
	sync := "not synchronized"
	if s.Clock.Synchronized {
		sync = fmt.Sprintf("synchronized, wrong by %.1f ms at most", s.Clock.ErrorMS)
	}
	fmt.Fprintf(&b, "clock     %s, zone %s, %s\n", s.Clock.Now.UTC().Format(time.RFC3339), orWord(s.Clock.Zone, "not known"), sync)
	nics := table{rows: [][]cell{row("INTERFACE", "LINK", "MAC", "MTU", "SPEED", "ADDRESSES")}}
	for _, n := range s.Interfaces {
		nics.rows = append(nics.rows, nicRow(n, s.Interfaces))
	}
	routes := table{rows: [][]cell{row("ROUTE", "VIA", "INTERFACE", "METRIC", "MADE")}}
	for _, r := range s.Routes {
		routes.rows = append(routes.rows, row(r.To, orWord(r.Via, "on the link"), r.Interface, strconv.Itoa(r.Metric), made(r.Origin)))
	}
	b.WriteString("\n" + nics.text(colored) + "\n" + routes.text(colored))
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "%s %s\n", paint("✖", red, colored), p)
	}
	return b.String()
}

func nicRow(n api.NIC, all []api.NIC) []cell {
	link := cell{"✖ no cable", red}
	switch {
	case !n.Up:
		link = cell{"○ disabled", plain}
	case n.Carrier:
		link = cell{"✔ up", green}
	}
	speed := ""
	if n.SpeedMbps > 0 {
		speed = fmt.Sprintf("%d Mbit/s", n.SpeedMbps)
	}
	var addrs []string
	for _, at := range n.Addresses {
		addrs = append(addrs, fmt.Sprintf("%s (%s)", at.Address, made(at.Origin)))
	}
	name := n.Name
	if v := n.VLAN; v != nil {
		name += fmt.Sprintf(" (VLAN %d of %s)", v.ID, v.Link)
	}
	if n.Bond != nil {
		name += " (bond, " + n.Bond.Mode + ")"
	}
	if n.BondOf != "" {
		name += " (" + inBond(n, all) + ")"
	}
	out := row(name, "", n.MAC, strconv.Itoa(n.MTU), speed, strings.Join(addrs, " "))
	out[1] = link
	return out
}

// inBond is what an interface does in its bond: "active in bond0".
func inBond(n api.NIC, all []api.NIC) string {
	for _, bond := range all {
		if bond.Name != n.BondOf || bond.Bond == nil {
			continue
		}
		for _, m := range bond.Bond.Members {
			if m.Name == n.Name {
				return m.State() + " in " + n.BondOf
			}
		}
	}
	return "in " + n.BondOf
}

// made says who made an address or a route.
func made(origin string) string {
	switch origin {
	case api.OriginOther:
		return "by others"
	case api.OriginKernel:
		return "by the kernel"
	}
	return origin
}

func orNone(list []string) string { return orWord(strings.Join(list, " "), "none") }

func orWord(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func searching(r api.Resolver) string {
	if len(r.Search) == 0 {
		return ""
	}
	return ", searching " + strings.Join(r.Search, " ")
}
