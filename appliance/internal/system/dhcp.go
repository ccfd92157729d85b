package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/internal/dhcp"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// leasedMetric is that of default gateways by DHCP: any other gateway comes first.
const leasedMetric = 1024

// loan is what DHCP has come to on an interface.
type loan struct {
	lease   dhcp.Lease
	trouble string // "" = all is well
}

// client is a DHCP client at work on an interface.
type client struct {
	index   int
	mac     string
	socket  *dhcp.Socket
	dhcp    *dhcp.Client
	stop    context.CancelFunc
	asking  sync.WaitGroup
	hearing sync.WaitGroup
}

// end ends a client; its address stays.
func (c *client) end() {
	c.stop()
	c.asking.Wait()
	_ = c.socket.Close()
	c.hearing.Wait()
}

// Stop ends what leases addresses. The leases stay, for the next daemon.
func (a *Actuator) Stop() {
	for name, c := range a.clients {
		c.end()
		delete(a.clients, name)
	}
}

// lease has a client work on each interface that wants one, and ends the others.
func (p *pass) lease(links map[string]netlink.Link) error {
	p.recall()
	p.forget(links)
	var errs []error
	for _, want := range p.want.Interfaces {
		l, there := links[want.Name]
		if !want.DHCP || want.Disabled || !there || p.clients[want.Name] != nil {
			continue
		}
		if err := p.start(want.Name, l); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", want.Name, err))
		}
	}
	return errors.Join(errs...)
}

// forget ends the clients of interfaces that are gone or were made anew, and of those that are
// no longer to have one. What may not be ours is given back; what is only not wanted is kept
// in mind, as a change of the network on trial may go back.
func (p *pass) forget(links map[string]netlink.Link) {
	for name, c := range p.clients {
		l, there := links[name]
		want, _ := p.want.Interface(name)
		wanted := want.DHCP && !want.Disabled && !p.refused(name)
		if wanted && there && l.Attrs().Index == c.index && l.Attrs().HardwareAddr.String() == c.mac {
			continue
		}
		c.stop()
		switch lease := p.loan(name).lease; {
		case p.refused(name):
			c.dhcp.Release(lease)
		case !wanted:
			p.former[name] = lease
		}
		c.end()
		delete(p.clients, name)
	}
	for _, name := range p.lenders() {
		if want, _ := p.want.Interface(name); !want.DHCP || want.Disabled || p.refused(name) {
			p.note(name, func(l *loan) { *l = loan{} })
		}
	}
}

// refused says that the configuration has something else at a leased address by now.
func (p *pass) refused(name string) bool {
	lease := p.loan(name).lease
	return lease.Valid(time.Now()) && p.opts.Refuse(name, lease.Addr.Addr()) != ""
}

// start begins to lease an address for an interface.
func (p *pass) start(name string, l netlink.Link) error {
	mac := l.Attrs().HardwareAddr
	if len(mac) != 6 {
		return errors.New("it has no Ethernet address, which DHCP needs: give it a fixed address")
	}
	socket, err := dhcp.Open(p.ctx, dhcp.Link{Name: name, Index: l.Attrs().Index, MAC: mac})
	if err != nil {
		return err
	}
	a := p.Actuator
	ctx, stop := context.WithCancel(context.WithoutCancel(p.ctx))
	c := &client{index: l.Attrs().Index, mac: mac.String(), socket: socket, stop: stop}
	c.dhcp = dhcp.New(dhcp.Options{
		MAC: mac, Conn: socket,
		Refuse:  func(addr netip.Addr) string { return a.opts.Refuse(name, addr) },
		Changed: func(is dhcp.Lease) { a.note(name, func(n *loan) { n.lease = is }) },
		Trouble: func(text string) { a.note(name, func(n *loan) { n.trouble = text }) },
	})
	was := p.loan(name).lease
	if !was.Addr.IsValid() {
		was = p.former[name]
	}
	delete(p.former, name)
	c.hearing.Go(socket.Read)
	c.asking.Go(func() { c.dhcp.Run(ctx, was) })
	p.clients[name] = c
	return nil
}

// loan is that of an interface.
func (a *Actuator) loan(name string) loan {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.loans[name]
}

// lenders are the interfaces of which something is known.
func (a *Actuator) lenders() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.loans))
}

// note changes what is known of an interface, and has it applied.
func (a *Actuator) note(name string, change func(*loan)) {
	a.mu.Lock()
	was := a.loans[name]
	is := was
	change(&is)
	a.loans[name] = is
	if reflect.DeepEqual(is, loan{}) {
		delete(a.loans, name)
	}
	a.mu.Unlock()
	if !reflect.DeepEqual(was, is) {
		a.wake()
	}
}

// Leases are the addresses that are leased, by interface.
func (a *Actuator) Leases() map[string]netip.Addr {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]netip.Addr{}
	for name, l := range a.loans {
		if l.lease.Valid(time.Now()) {
			out[name] = l.lease.Addr.Addr()
		}
	}
	return out
}

// leaseOf is the lease of an interface that wants one.
func (p *pass) leaseOf(want lb.Interface) (dhcp.Lease, bool) {
	l := p.loan(want.Name).lease
	return l, want.DHCP && !want.Disabled && p.clients[want.Name] != nil && l.Valid(time.Now())
}

// lifetimes tells the kernel when leases end, once for each. An address that somebody else
// gave to the interface is theirs.
func (p *pass) lifetimes(links map[string]netlink.Link, have []Held) error {
	var errs []error
	ends := map[place]time.Time{}
	for _, want := range p.want.Interfaces {
		lease, ok := p.leaseOf(want)
		l, there := links[want.Name]
		if !ok || !there {
			continue
		}
		at := place{l.Attrs().Index, lease.Addr}
		if slices.ContainsFunc(have, func(h Held) bool { return place{h.Index, h.Prefix} == at && h.Origin != Ours }) {
			continue
		}
		if !p.ends[at].Equal(lease.End) {
			if err := lifetime(at, uint32(time.Until(lease.End).Seconds())+1); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		ends[at] = lease.End
	}
	p.ends = ends
	return errors.Join(errs...)
}

// settle keeps an address that was leased and is fixed now.
func (p *pass) settle(links map[string]netlink.Link, have []Held) error {
	var errs []error
	for _, h := range have {
		at := place{h.Index, h.Prefix}
		fixed := slices.ContainsFunc(p.want.Interfaces, func(i lb.Interface) bool {
			l, there := links[i.Name]
			return there && l.Attrs().Index == h.Index && slices.Contains(i.Addrs, h.Prefix)
		})
		if fixed && h.Ends && h.Origin == Ours && h.Prefix.Addr().Is4() {
			errs = append(errs, lifetime(at, forever))
		}
	}
	return errors.Join(errs...)
}

// leasedRoutes are the default gateways by DHCP, where the configuration has none.
func (p *pass) leasedRoutes(links map[string]netlink.Link) (out []path) {
	anywhere := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	if slices.ContainsFunc(p.want.Routes, func(r lb.Route) bool { return r.To == anywhere }) {
		return nil
	}
	for _, want := range p.want.Interfaces {
		lease, ok := p.leaseOf(want)
		if l, there := links[want.Name]; ok && there && lease.Router.IsValid() {
			out = append(out, path{anywhere, lease.Router, l.Attrs().Index, leasedMetric + len(out)})
		}
	}
	return out
}

// leasedDNS are the name servers by DHCP.
func (p *pass) leasedDNS() (out []netip.Addr) {
	for _, want := range p.want.Interfaces {
		lease, _ := p.leaseOf(want)
		for _, s := range lease.DNS {
			if !slices.Contains(out, s) && len(out) < maxResolvers {
				out = append(out, s)
			}
		}
	}
	return out
}

// maxResolvers is how many programs ask (MAXNS of resolv.h).
const maxResolvers = 3

// troubles tells what goes wrong with DHCP, and of addresses that have come or gone.
func (p *pass) troubles() {
	for _, want := range p.want.Interfaces {
		if text := p.loan(want.Name).trouble; text != "" && want.DHCP {
			p.problems = append(p.problems, "DHCP on "+want.Name+": "+text)
		}
	}
}

// leasesFile remembers the leases for the next daemon.
func (a *Actuator) leasesFile() string {
	return filepath.Join(filepath.Dir(a.opts.State), "leases.json")
}

// recall knows what an earlier daemon has leased, once. A file that cannot be read is none:
// a server lends the same address again.
func (p *pass) recall() {
	if p.known != nil {
		return
	}
	var err error
	if p.known, err = readLeases(p.leasesFile()); err != nil {
		p.opts.Logger.WarnContext(p.ctx, "the leases of before cannot be read: addresses are asked for anew", "err", err)
	}
	p.untold = len(p.known) > 0
	for name, l := range p.known {
		if l.Valid(time.Now()) && l.Addr.Addr().Is4() && l.End.Before(time.Now().Add(dhcp.MostLease)) {
			p.note(name, func(n *loan) { n.lease = l })
		}
	}
}

// readLeases reads the file of leases; there is always a map.
func readLeases(path string) (map[string]dhcp.Lease, error) {
	out := map[string]dhcp.Lease{}
	data, err := readBounded(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		return map[string]dhcp.Lease{}, err
	}
	return out, nil
}

// remembered writes the leases where they have changed, and tells of them until that is done.
func (p *pass) remembered() error {
	err := p.keepLeases()
	if p.untold {
		told := p.opts.Leased()
		p.untold = told != nil
		err = errors.Join(err, told)
	}
	return err
}

// keepLeases writes the leases where they have changed.
func (p *pass) keepLeases() error {
	now := map[string]dhcp.Lease{}
	for _, name := range p.lenders() {
		if l := p.loan(name).lease; l.Valid(time.Now()) {
			l.Renew, l.Rebind, l.End = l.Renew.Round(0), l.Rebind.Round(0), l.End.Round(0)
			now[name] = l
		}
	}
	if same := maps.EqualFunc(now, p.known, func(a, b dhcp.Lease) bool { return a.Addr == b.Addr && a.End.Equal(b.End) }); same {
		return nil
	}
	p.untold = true
	data, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(p.leasesFile(), data, 0o600); err != nil {
		return err
	}
	p.known = now
	return nil
}

// markLeased says which addresses of interfaces are leased.
func (a *Actuator) markLeased(nics []NIC) {
	for i := range nics {
		l := a.loan(nics[i].Name).lease
		if !l.Valid(time.Now()) {
			continue
		}
		nics[i].Lease = l
		for j := range nics[i].Addrs {
			if h := &nics[i].Addrs[j]; h.Prefix == l.Addr && h.Origin == Ours {
				h.Origin = DHCP
			}
		}
	}
}
