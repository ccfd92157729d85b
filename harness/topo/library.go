package topo

import (
	"maps"
	"slices"
)

// Library returns the ready-made topologies by name.
func Library() map[string]Spec {
	return map[string]Spec{"harmonic-vos": HarmonicVOS()}
}

// LibraryNames returns the names of the ready-made topologies, sorted.
func LibraryNames() []string { return slices.Sorted(maps.Keys(Library())) }

// HarmonicVOS is the guide's deployment (guide sections 5, 10 and 14.1): a pair
// of appliances and four servers on one segment, clients behind a router. The
// servers' way back leads to the router and never crosses the balancer.
func HarmonicVOS() Spec {
	return Spec{
		Networks: map[string]*Network{
			"service": {IP4: "192.168.94.0/24", IP6: "fd94::/64", Gateway: 1},
			"clients": {IP4: "10.94.0.0/24", IP6: "fd95::/64", Gateway: 1, Direct: true},
			"sync":    {IP4: "10.255.0.0/30", Direct: true},
		},
		VIPs: map[string]VIP{
			"management": {IP4: "192.168.94.100", IP6: "fd94::100"},
			"traffic":    {IP4: "192.168.94.110", IP6: "fd94::110"},
		},
		Nodes: map[string]*Node{
			"router":  {Kind: KindRouter, Links: []string{"service:1", "clients:1"}},
			"clients": {Kind: KindClients, Links: []string{"clients:2"}, Pool4: "10.94.4.0/22", Pool6: "fd95:0:4::/48"},
			"lb1":     {Kind: KindAppliance, Role: "primary", Links: []string{"service:10", "sync:1"}},
			"lb2":     {Kind: KindAppliance, Role: "secondary", Links: []string{"service:11", "sync:2"}},
			"HM1":     {Kind: KindSimVOS, ID: 105, Links: []string{"service:105"}},
			"HM2":     {Kind: KindSimVOS, ID: 106, Links: []string{"service:106"}},
			"HT1":     {Kind: KindSimVOS, ID: 115, Links: []string{"service:115"}, VIPs: []string{"traffic"}, ARP: "solved"},
			"HT2":     {Kind: KindSimVOS, ID: 116, Links: []string{"service:116"}, VIPs: []string{"traffic"}, ARP: "solved"},
		},
	}
}
