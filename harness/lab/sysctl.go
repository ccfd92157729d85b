package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/netns"
)

type sysctl struct{ key, value string }

// common is written into every node's namespace before it has interfaces, which
// inherit from "default". Namespaces inherit some of these from the host, so none
// is left to chance.
func common() []sysctl {
	var out []sysctl
	for _, scope := range []string{"all", "default"} {
		for _, kv := range []sysctl{
			{"rp_filter", "0"},
			{"arp_ignore", "0"},
			{"arp_announce", "0"},
			{"arp_filter", "0"},
			{"arp_notify", "0"},
			{"arp_accept", "0"},
			{"drop_gratuitous_arp", "0"},
			{"accept_redirects", "0"},
			{"send_redirects", "0"},
			{"accept_local", "0"},
		} {
			out = append(out, sysctl{"ipv4/conf/" + scope + "/" + kv.key, kv.value})
		}
		for _, kv := range []sysctl{
			{"accept_dad", "0"},
			{"addr_gen_mode", "1"}, // none: the lab gives link-local addresses itself
			{"dad_transmits", "0"},
			{"accept_ra", "0"},
			{"autoconf", "0"},
			{"accept_redirects", "0"},
			{"disable_ipv6", "0"},
			{"drop_unsolicited_na", "0"},
		} {
			out = append(out, sysctl{"ipv6/conf/" + scope + "/" + kv.key, kv.value})
		}
	}
	return append(
		out,
		sysctl{"ipv4/ip_local_port_range", "10240 49999"}, // below the media ports
		sysctl{"ipv4/ip_forward", "0"},
		sysctl{"ipv6/conf/all/forwarding", "0"},
		sysctl{"ipv4/ip_nonlocal_bind", "0"},
		sysctl{"ipv6/ip_nonlocal_bind", "0"},
		sysctl{"ipv4/icmp_ratelimit", "0"},
		sysctl{"ipv4/tcp_tw_reuse", "1"},
	)
}

func nodeSysctls(ns *netns.NS, kind string) error {
	set := common()
	switch kind {
	case topo.KindRouter:
		set = append(set, sysctl{"ipv4/ip_forward", "1"}, sysctl{"ipv6/conf/all/forwarding", "1"},
			// ip_forward switches these on again
			sysctl{"ipv4/conf/all/send_redirects", "0"}, sysctl{"ipv4/conf/default/send_redirects", "0"})
	case topo.KindClients: // an AnyIP pool: IPv6 does not let a socket bind to it otherwise
		set = append(set, sysctl{"ipv6/ip_nonlocal_bind", "1"})
	}
	return write(ns, set)
}

// switchSysctls keeps the switch silent: it has no addresses of its own.
func switchSysctls(ns *netns.NS) error {
	return write(ns, []sysctl{
		{"ipv6/conf/all/disable_ipv6", "1"},
		{"ipv6/conf/default/disable_ipv6", "1"},
		{"bridge/bridge-nf-call-iptables", "0"},
		{"bridge/bridge-nf-call-ip6tables", "0"},
		{"bridge/bridge-nf-call-arptables", "0"},
	})
}

// forgetful shortens the time for which the node trusts its neighbours.
func (n *Node) forgetful() error {
	if n.Reachable == 0 {
		return nil
	}
	var set []sysctl
	for _, p := range n.Ports {
		for _, family := range []string{"ipv4", "ipv6"} {
			at := family + "/neigh/" + p.Iface + "/"
			set = append(set, sysctl{at + "base_reachable_time_ms", strconv.FormatInt(n.Reachable.Milliseconds(), 10)}, sysctl{at + "delay_first_probe_time", "1"})
		}
	}
	return write(n.ns, set)
}

// write sets the values inside ns: /proc/sys/net shows the namespace of the
// thread that opens it. Keys that this kernel does not know are left out, except
// those that the measurements rest on.
func write(ns *netns.NS, set []sysctl) error {
	return ns.Do(func() error {
		for _, s := range set {
			err := os.WriteFile("/proc/sys/net/"+s.key, []byte(s.value), 0o644)
			if errors.Is(err, fs.ErrNotExist) && !strings.HasPrefix(s.key, "ipv4/tcp_") {
				continue
			}
			if err != nil {
				return fmt.Errorf("%w: set net/%s = %s: %w", ErrCannot, s.key, s.value, err)
			}
		}
		return nil
	})
}
