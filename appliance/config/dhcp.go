package config

import (
	"fmt"

	"github.com/vosbed/vosbed/appliance/lb"
)

// validateDHCP reports management at addresses that nobody leases.
func validateDHCP(r *reader, n lb.Node) {
	distinct(r, "node.management_dhcp", n.ManagementDHCP)
	for i, name := range n.ManagementDHCP {
		path := fmt.Sprintf("node.management_dhcp[%d]", i)
		one, ours := n.System.Interface(name)
		switch {
		case name == "":
			r.empty(path, "eth0")
		case !ours || !one.DHCP:
			r.fail(path, "%q has no address by DHCP -- write dhcp: true at that interface in node.system.interfaces, or write its address in node.management", name)
		case one.Disabled:
			r.fail(path, "%s is disabled -- enable it, or remove it here", name)
		}
	}
}
