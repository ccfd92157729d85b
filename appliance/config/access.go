package config

import (
	"fmt"
	"net/netip"

	"github.com/vosbed/vosbed/appliance/lb"
)

// ManagementHTTPPort is that of plain HTTP (guide 9.5).
const ManagementHTTPPort = 9080

func (r *reader) access(f nodeFile) lb.Access {
	return lb.Access{
		ManagementDHCP: some(f.DHCP),
		ManagementHTTP: r.endpoints("node.management_http", f.HTTP, ManagementHTTPPort),
		Fallback:       r.endpoints("node.fallback", f.Fallback, lb.FallbackPort),
	}
}

// tcpSocket is a TCP listener of the node and the key that it is written under.
type tcpSocket struct {
	key  string
	list []netip.AddrPort
}

func tcpSockets(n lb.Node) []tcpSocket {
	return []tcpSocket{
		{"node.management", n.Management}, {"node.management_http", n.ManagementHTTP}, {"node.fallback", n.Fallback},
	}
}

// validateAccess reports TCP sockets that the node could not open, or that would lead
// nowhere.
func validateAccess(r *reader, n lb.Node) {
	owners := make(map[netip.AddrPort]string)
	for _, s := range tcpSockets(n) {
		distinct(r, s.key, s.list)
		for i, at := range s.list {
			if other, twice := owners[at]; twice && other != s.key && at.IsValid() {
				r.fail(fmt.Sprintf("%s[%d]", s.key, i), "%s is in %s already -- use another port", at, other)
			}
			owners[at] = s.key
		}
	}
	if other, twice := owners[n.Replication.Local]; twice && n.Replication.Local.IsValid() {
		r.fail("node.replication.local", "%s is in %s already -- use another port", n.Replication.Local, other)
	}
	if len(n.ManagementHTTP) > 0 && len(n.Management) == 0 && len(n.ManagementDHCP) == 0 {
		r.fail("node.management_http", "leads to HTTPS, and there is none -- write node.management too, or remove it")
	}
}
