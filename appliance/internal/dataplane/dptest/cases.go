package dptest

import (
	"slices"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

func needsLease(c dataplane.Capabilities) bool     { return c.Lease }
func needsEntries(c dataplane.Capabilities) bool   { return c.Entries }
func needsFragments(c dataplane.Capabilities) bool { return c.Fragments }
func needsConflicts(c dataplane.Capabilities) bool { return c.Conflicts }
func needsAdopt(c dataplane.Capabilities) bool     { return c.Adopt }
func needsFragments6(c dataplane.Capabilities) bool {
	return c.IPv6 && c.Fragments
}
func needsV6(c dataplane.Capabilities) bool { return c.IPv6 }
func needsMaglev(c dataplane.Capabilities) bool {
	return slices.Contains(c.Schedulers, lb.Maglev)
}

// Cases is the table of behaviours.
func Cases() []Case {
	var all []Case
	for _, part := range [][]Case{matching(), malformed(), flows(), lostFlows(), persistence(), resets(), changes(), serverStates(), returns(), scheduling(), fragments(), icmpCases(), neighbours(), leases(), ipv6Cases()} {
		all = append(all, part...)
	}
	return all
}
