package system

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/dhcp"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Facts is what the machine is now, whoever made it so.
type Facts struct {
	Hostname string
	NICs     []NIC
	Routes   []RouteFact
	Resolver Resolver
	Clock    ClockFact
}

// NIC is a network interface. Speed is in Mbit/s, 0 = the driver does not say.
type NIC struct {
	Name, MAC string
	MTU       int
	Up        bool // taken up by somebody
	Carrier   bool // a cable, and a link partner
	Speed     int
	VLAN      lb.VLAN    // zero = it is none
	Bond      BondFact   // of which it is made
	BondOf    string     // the bond that it is a member of, "" = none
	Lease     dhcp.Lease // zero = there is none
	Addrs     []Held
}

// RouteFact is a unicast route of the main table.
type RouteFact struct {
	To        netip.Prefix
	Via       netip.Addr
	Interface string
	Metric    int
	Origin    Origin
}

// Resolver is what programs ask for names. Link is where the file leads, "" = nowhere.
type Resolver struct {
	File, Link      string
	Servers, Search []string
}

// ClockFact is the time. Synced is what the kernel says of the clock (adjtimex(2)), Error
// its bound of how wrong it may be; only a clock that is synchronized has one.
type ClockFact struct {
	Now     time.Time
	Zone    string // "" = not known
	Synced  bool
	Error   time.Duration
	Servers []string // of NTP, as this configuration gave them to chrony
}

// Facts reads the machine.
func (a *Actuator) Facts() (Facts, error) {
	var f Facts
	var err error
	if f.Hostname, err = Hostname(); err != nil {
		return f, err
	}
	names := map[int]string{}
	if f.NICs, err = nics(names); err != nil {
		return f, err
	}
	a.markLeased(f.NICs)
	routes, err := table()
	if err != nil {
		return f, err
	}
	for _, r := range routes {
		f.Routes = append(f.Routes, RouteFact{r.to, r.via, names[r.index], r.metric, r.origin})
	}
	f.Resolver = readResolver(a.opts.etc("resolv.conf"))
	f.Clock = a.clock()
	return f, nil
}

// nics lists the interfaces but for the loopback, and notes all names by index.
func nics(names map[int]string) ([]NIC, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	addrs, err := held()
	if err != nil {
		return nil, err
	}
	var out []NIC
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range links {
		at := l.Attrs()
		if at.RawFlags&unix.IFF_LOOPBACK != 0 {
			continue
		}
		n := NIC{
			Name: at.Name, MAC: at.HardwareAddr.String(), MTU: at.MTU,
			Up: isUp(l), Carrier: at.RawFlags&unix.IFF_LOWER_UP != 0, Speed: speed(at.Name, at.Index),
			VLAN: vlanOf(l, names), Bond: bondFact(l, links),
		}
		if _, member := at.Slave.(*netlink.BondSlave); member {
			n.BondOf = names[at.MasterIndex]
		}
		for _, h := range addrs {
			if h.Index == at.Index {
				n.Addrs = append(n.Addrs, h)
			}
		}
		out = append(out, n)
	}
	return out, nil
}

// speed asks sysfs, which may be that of another network namespace.
func speed(name string, index int) int {
	dir := filepath.Join("/sys/class/net", name)
	if number(filepath.Join(dir, "ifindex")) != index {
		return 0
	}
	return max(0, number(filepath.Join(dir, "speed")))
}

// number reads a file that holds one, 0 = it does not.
func number(path string) int {
	data, err := readBounded(path, maxFile)
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	return n
}

// Bounds of what is shown of a resolver's file.
const maxShown = 16

// readResolver reads resolv.conf(5); a file that cannot be read has no servers.
func readResolver(path string) Resolver {
	r := Resolver{File: path}
	if c, err := look(path); err == nil && c.Kind == isLink {
		r.Link = string(c.Data)
	}
	data, err := readBounded(path, maxFile)
	if err != nil {
		return r
	}
	r.Servers, r.Search = parseResolver(data)
	return r
}

// parseResolver keeps servers and the last search list.
func parseResolver(data []byte) (servers, search []string) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxFile+1)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if _, err := netip.ParseAddr(words[1]); err == nil && len(servers) < maxShown {
				servers = append(servers, words[1])
			}
		case "search", "domain":
			search = words[1:min(len(words), maxShown+1)]
		}
	}
	return servers, search
}

func (a *Actuator) clock() ClockFact {
	c := ClockFact{Now: time.Now().UTC(), Zone: a.presentZone()}
	var t unix.Timex
	if state, err := unix.Adjtimex(&t); err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0 {
		c.Synced, c.Error = true, time.Duration(t.Maxerror)*time.Microsecond
	}
	data, err := readBounded(a.opts.etc("chrony", "sources.d", "vosbed.sources"), maxFile)
	if err != nil {
		return c
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "server" {
			c.Servers = append(c.Servers, words[1])
		}
	}
	return c
}

// presentZone is where /etc/localtime leads. Without the file it is UTC.
func (a *Actuator) presentZone() string {
	c, err := look(a.opts.etc("localtime"))
	switch {
	case err != nil:
		return ""
	case c.Kind == absent:
		return "UTC"
	case c.Kind == isLink:
		_, zone, _ := strings.Cut(string(c.Data), "zoneinfo/")
		if rel, err := filepath.Rel(a.opts.Zones, string(c.Data)); err == nil && filepath.IsLocal(rel) {
			zone = rel
		}
		return zone
	}
	return ""
}
