package support

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/buildinfo"
)

// Look reads the machine; what cannot be read is left out. dir is the state directory.
func Look(dir string) Machine {
	m := Machine{Clock: clock(), Disk: disk(dir), Memory: memory(), Sysctls: Sysctls()}
	m.Built, _ = time.Parse(time.RFC3339, buildinfo.Get().Time)
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		m.Files = files.Cur
	}
	m.Links = interfaces()
	return m
}

func clock() Clock {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return ClockUnknown
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return ClockFree
	}
	return ClockSynchronised
}

func disk(dir string) Space {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil || s.Bsize <= 0 {
		return Space{}
	}
	size := uint64(s.Bsize)
	return Space{Free: s.Bavail * size, Total: s.Blocks * size}
}

func memory() Space {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Space{}
	}
	return parseMemory(string(data))
}

// parseMemory reads /proc/meminfo, whose numbers are kB (proc(5)).
func parseMemory(text string) Space {
	var s Space
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		kb, err := strconv.ParseUint(words[1], 10, 54)
		if err != nil {
			continue
		}
		switch words[0] {
		case "MemTotal:":
			s.Total = kb << 10
		case "MemAvailable:":
			s.Free = kb << 10
		}
	}
	return s
}

// sysctlPatterns are the settings that matter for a load balancer, below /proc/sys.
func sysctlPatterns() []string {
	return []string{
		"fs/file-max", "fs/nr_open", "kernel/osrelease", "kernel/sched_rt_runtime_us", "kernel/unprivileged_bpf_disabled", "kernel/version",
		"net/core/netdev_max_backlog", "net/core/rmem_max", "net/core/somaxconn", "net/core/wmem_max", "net/core/bpf_jit_enable",
		"net/ipv4/ip_forward", "net/ipv4/ip_local_port_range", "net/ipv4/ip_local_reserved_ports", "net/ipv4/ip_nonlocal_bind", "net/ipv4/tcp_tw_reuse",
		"net/ipv4/tcp_max_syn_backlog", "net/ipv4/tcp_syncookies", "net/ipv4/neigh/default/gc_thresh*",
		"net/ipv4/conf/*/arp_*", "net/ipv4/conf/*/rp_filter", "net/ipv4/conf/*/accept_local", "net/ipv4/conf/*/send_redirects",
		"net/ipv6/conf/*/accept_ra", "net/ipv6/conf/*/disable_ipv6", "net/ipv6/conf/*/forwarding", "net/netfilter/nf_conntrack_max",
	}
}

// mostSysctls bounds them: a machine may have many interfaces.
const mostSysctls = 4096

// Sysctls reads the settings that matter. A "/" in a name stands for a dot of an
// interface's name, as sysctl(8) has it.
func Sysctls() map[string]string {
	const root = "/proc/sys/"
	out := map[string]string{}
	for _, pattern := range sysctlPatterns() {
		names, _ := filepath.Glob(root + pattern) // the patterns are well formed
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil || len(out) >= mostSysctls {
				continue
			}
			key := strings.NewReplacer("/", ".", ".", "/").Replace(strings.TrimPrefix(name, root))
			out[key] = strings.TrimSpace(string(data))
		}
	}
	return out
}

func interfaces() []Link {
	all, err := netlink.LinkList()
	if err != nil {
		return nil
	}
	routes, err := netlink.RouteList(nil, unix.AF_UNSPEC)
	if err != nil {
		routes = nil
	}
	var out []Link
	for _, l := range all {
		a := l.Attrs()
		one := Link{
			Name: a.Name, MTU: a.MTU, Loopback: a.RawFlags&unix.IFF_LOOPBACK != 0,
			Up: a.RawFlags&unix.IFF_UP != 0 && a.OperState != netlink.OperDown && a.OperState != netlink.OperLowerLayerDown,
		}
		addrs, err := netlink.AddrList(l, unix.AF_UNSPEC)
		if err != nil {
			addrs = nil
		}
		for _, addr := range addrs {
			ip, ok := netip.AddrFromSlice(addr.IP)
			if ones, _ := addr.Mask.Size(); ok && !ip.IsLinkLocalUnicast() {
				one.Prefixes = append(one.Prefixes, netip.PrefixFrom(ip.Unmap(), ones))
			}
		}
		one.Default = slices.ContainsFunc(routes, func(r netlink.Route) bool {
			return r.LinkIndex == a.Index && (r.Dst == nil || r.Dst.IP.IsUnspecified())
		})
		out = append(out, one)
	}
	return out
}
