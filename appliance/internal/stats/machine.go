package stats

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
)

// dumps is how often the kernel is asked again when interfaces changed while it listed
// them (NLM_F_DUMP_INTR, netlink(7)).
const dumps = 5

// Machine reads this machine: the 64-bit counters of the interfaces in the network
// namespace of the calling thread (IFLA_STATS64 of RTM_GETLINK, rtnetlink(7)),
// /proc/loadavg and /proc/meminfo (proc(5)).
//
// Counted are the interfaces by which packets enter and leave the namespace: network
// cards and, where there is a namespace around it, veth, netkit and what is stacked upon an
// interface out there. What is stacked upon interfaces in here (bonds, bridges, VLANs,
// tunnels) would count the same bytes again.
func Machine() Source {
	m := &machine{}
	return m.sample
}

// machine remembers what it counted.
type machine struct {
	mu   sync.Mutex
	seen map[int]traffic // by index of the interface
	era  uint64
}

// traffic is what one interface received and sent, in bytes.
type traffic struct{ rx, tx uint64 }

func (m *machine) sample() (Sample, error) {
	loads, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return Sample{}, err
	}
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Sample{}, err
	}
	var s Sample
	if s.Load1, s.Load5, s.Load15, err = parseLoads(string(loads)); err != nil {
		return Sample{}, err
	}
	if s.Memory, err = parseMemory(string(memory)); err != nil {
		return Sample{}, err
	}
	all, err := list(netlink.LinkList)
	if err != nil {
		return Sample{}, fmt.Errorf("list interfaces: %w", err)
	}
	s.At = time.Now()
	s.RX, s.TX, s.era = m.count(counters(all))
	return s, nil
}

// list asks for all interfaces until the answer is a whole one.
func list(ask func() ([]netlink.Link, error)) (all []netlink.Link, err error) {
	for range dumps {
		if all, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// count adds the counters up. The era changes when an interface came, went or began to
// count anew: then the sums do not continue those before.
func (m *machine) count(now map[int]traffic) (rx, tx, era uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	same := len(now) == len(m.seen)
	for index, t := range now {
		before, ok := m.seen[index]
		same = same && ok && t.rx >= before.rx && t.tx >= before.tx
		rx += t.rx
		tx += t.tx
	}
	if !same {
		m.era++
	}
	m.seen = now
	return rx, tx, m.era
}

// counters are those of the interfaces that count, by index.
func counters(all []netlink.Link) map[int]traffic {
	counted := map[int]bool{}
	for _, l := range all {
		counted[l.Attrs().Index] = carries(l)
	}
	out := map[int]traffic{}
	for _, l := range all {
		a := l.Attrs()
		// A card below another one is the fast path of that (netvsc, net_failover).
		if counted[a.Index] && !counted[a.MasterIndex] && a.Statistics != nil {
			out[a.Index] = traffic{a.Statistics.RxBytes, a.Statistics.TxBytes}
		}
	}
	return out
}

// carries reports whether packets leave the namespace by an interface.
func carries(l netlink.Link) bool {
	a := l.Attrs()
	if a.Flags&net.FlagLoopback != 0 {
		return false
	}
	switch l.Type() {
	case "device", "veth", "netkit": // what has no kind is a card
		return true
	case "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "ipoib":
		return a.NetNsID >= 0 // what it is stacked upon is in another namespace
	}
	return false
}

// parseLoads reads /proc/loadavg.
func parseLoads(text string) (one, five, fifteen float64, err error) {
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return 0, 0, 0, fmt.Errorf("/proc/loadavg: %q", text)
	}
	var loads [3]float64
	for i := range loads {
		if loads[i], err = strconv.ParseFloat(fields[i], 64); err != nil {
			return 0, 0, 0, fmt.Errorf("/proc/loadavg: %w", err)
		}
	}
	return loads[0], loads[1], loads[2], nil
}

// parseMemory reads from /proc/meminfo the bytes in use: MemTotal less MemAvailable, what
// could be given to programs without swapping.
func parseMemory(text string) (uint64, error) {
	found := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if key != "MemTotal" && key != "MemAvailable" {
			continue
		}
		kib, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 54)
		if err != nil {
			return 0, fmt.Errorf("/proc/meminfo: %s: %w", key, err)
		}
		found[key] = kib << 10 // a kB of proc(5) has 1024 bytes
	}
	if len(found) < 2 {
		return 0, errors.New("/proc/meminfo: MemTotal or MemAvailable is missing")
	}
	return found["MemTotal"] - min(found["MemAvailable"], found["MemTotal"]), nil
}
