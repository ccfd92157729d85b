// Package doctor finds out, by trying, what this machine can do for a lab, and
// says what to do about the rest.
package doctor

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	vns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/lab/wire"
	"github.com/vosbed/vosbed/internal/netns"
)

// Check is one finding.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Needed bool   `json:"needed"` // without it there is no lab
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // what to do when it is not OK
}

// Examine tries everything a lab needs, in a namespace of its own.
func Examine() []Check {
	checks := []Check{root(), namespaces()}
	if checks[1].OK {
		checks = append(checks, links()...)
	}
	return append(checks, realtime(), files(), cubic(), cores())
}

func found(name string, needed bool, err error, ok, do string) Check {
	if err != nil {
		return Check{Name: name, Needed: needed, Found: err.Error(), Do: do}
	}
	return Check{Name: name, OK: true, Needed: needed, Found: ok}
}

func root() Check {
	var err error
	if os.Geteuid() != 0 {
		err = fmt.Errorf("user id %d", os.Geteuid())
	}
	return found("root", true, err, "running as root", "run vosbed as root, for example with sudo")
}

func namespaces() Check {
	ns, err := netns.New()
	if err == nil {
		err = ns.Close()
	}
	return found("netns", true, err, "network namespaces can be made", "a kernel with CONFIG_NET_NS and root are needed")
}

// links tries a bridge, a veth pair and a BPF program on tcx.
func links() []Check {
	ns, err := netns.New()
	if err != nil {
		return nil
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(vns.NsHandle(ns.Fd()), unix.NETLINK_ROUTE)
	if err != nil {
		return nil
	}
	defer h.Close()
	br := netlink.NewLinkAttrs()
	br.Name = "br"
	bridge := found("bridge", true, h.LinkAdd(&netlink.Bridge{LinkAttrs: br}), "bridges can be made", "load the module bridge (CONFIG_BRIDGE)")
	va := netlink.NewLinkAttrs()
	va.Name = "a"
	pair := &netlink.Veth{LinkAttrs: va, PeerName: "b"}
	veth := found("veth", true, h.LinkAdd(pair), "veth pairs can be made", "load the module veth (CONFIG_VETH)")
	if !veth.OK {
		return []Check{bridge, veth}
	}
	err = ns.Do(func() error {
		undo, applied := wire.Apply(pair.Index, wire.Rule{All: true})
		if applied != nil {
			return applied
		}
		return undo()
	})
	tcx := found("tcx", true, err, "BPF programs attach to tcx", "Linux 6.6 or later with CONFIG_BPF_SYSCALL and CONFIG_NET_XGRESS is needed")
	return []Check{bridge, veth, tcx}
}

func realtime() Check {
	var lim unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_RTPRIO, &lim)
	if err == nil && lim.Max == 0 && os.Geteuid() != 0 {
		err = fmt.Errorf("no real-time priority allowed")
	}
	return found("fifo", false, err, "real-time scheduling is allowed", "heartbeats may be late under load: allow RLIMIT_RTPRIO")
}

func files() Check {
	var lim unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim)
	if err == nil && lim.Max < 8192 {
		err = fmt.Errorf("at most %d open files", lim.Max)
	}
	return found("nofile", false, err, fmt.Sprintf("%d open files", lim.Max), "raise the hard limit of open files to 8192 or more (ulimit -Hn)")
}

func cubic() Check {
	b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	if err == nil && !slices.Contains(strings.Fields(string(b)), "cubic") {
		err = fmt.Errorf("only %s", trim(b))
	}
	return found("cubic", true, err, "congestion control: "+string(trim(b)), "load the module tcp_cubic")
}

func trim(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		return b[:n-1]
	}
	return b
}

func cores() Check {
	var set unix.CPUSet
	err := unix.SchedGetaffinity(0, &set)
	if err == nil && set.Count() < 2 {
		err = fmt.Errorf("%d processor", set.Count())
	}
	return found("cpus", false, err, fmt.Sprintf("%d processors", set.Count()), "measurements need two processors or more")
}
