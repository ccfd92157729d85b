package proxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/internal/proxy/reactor"
	"github.com/vosbed/vosbed/appliance/lb"
)

// maxListeners bounds the VIP:port pairs: a wide port range belongs to layer 4.
const maxListeners = lb.MaxListeners

// change is a Set in the making: everything fallible happens while it is built.
type change struct {
	owners map[netip.AddrPort]string // wanted listeners
	opened []*listener
	errs   []error
}

// Set makes the table the desired state. Listeners that stay keep their descriptor,
// sessions stay whatever changes, except those of servers that were halted or are
// down: these are cut before Set returns. A listener that cannot be opened is
// reported and left out, and so are all listeners of a frontend that asks for too many
// or for those of another. Everything else is applied, the settings of such a frontend
// too: its sessions obey a halt. A later Set tries again. The error is then a
// [plan.UnservedError] with the addresses on which no listener at all is open.
func (p *Proxy) Set(ctx context.Context, table plan.L7Table) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.open(); err != nil {
		return err
	}
	c := wanted(table)
	p.openMissing(c)
	p.swap(c, table)
	if len(c.errs) == 0 {
		return nil
	}
	return &plan.UnservedError{Addrs: p.unserved(table), Err: errors.Join(c.errs...)}
}

// unserved lists the addresses of a table that no listener is open on.
func (p *Proxy) unserved(table plan.L7Table) []netip.Addr {
	open := map[netip.Addr]bool{}
	for at := range p.listeners {
		open[at.Addr()] = true
	}
	var none []netip.Addr
	for _, f := range table.Frontends {
		if !open[f.Addr.Unmap()] && !slices.Contains(none, f.Addr) {
			none = append(none, f.Addr)
		}
	}
	return none
}

// wanted lists the listeners of a table with the service that each is for.
func wanted(table plan.L7Table) *change {
	c := &change{owners: map[netip.AddrPort]string{}}
	for _, f := range table.Frontends {
		mine, err := c.claims(f)
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		for _, at := range mine {
			c.owners[at] = f.Name
		}
	}
	return c
}

// claims lists the listeners of a frontend, if it may have them.
func (c *change) claims(f plan.Frontend) ([]netip.AddrPort, error) {
	if len(c.owners)+f.Ports.Len() > maxListeners {
		return nil, fmt.Errorf("service %s: ports %s make more than %d layer-7 listeners: use layer 4 for wide port ranges", f.Name, f.Ports, maxListeners)
	}
	var mine []netip.AddrPort
	for port := range f.Ports.Each {
		at := netip.AddrPortFrom(f.Addr.Unmap(), port)
		if other, taken := c.owners[at]; taken {
			return nil, fmt.Errorf("services %s and %s both want %s: give one of them another address or port", other, f.Name, at)
		}
		mine = append(mine, at)
	}
	return mine, nil
}

func (p *Proxy) openMissing(c *change) {
	for _, at := range slices.SortedFunc(maps.Keys(c.owners), netip.AddrPort.Compare) {
		if p.listeners[at] != nil {
			continue
		}
		fd, err := listen(at)
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		c.opened = append(c.opened, &listener{fd: fd, addr: at})
	}
}

// swap publishes the new state: settings first, so that a new listener finds them.
func (p *Proxy) swap(c *change, table plan.L7Table) {
	timeouts := map[string]time.Duration{}
	present := map[string]bool{}
	for _, f := range table.Frontends {
		present[f.Name] = true
		if f.Persistence.Kind == lb.PersistSourceIP {
			timeouts[f.Name] = f.Persistence.Timeout
		}
		p.publish(f)
	}
	p.o.Table.SetTimeouts(timeouts)
	p.retire(c, present)
	for _, l := range c.opened {
		if err := p.openListener(l, p.services[c.owners[l.addr]]); err != nil {
			c.errs = append(c.errs, err)
		}
	}
	p.capacity.Store(p.room())
	p.cutUnusable()
}

func (p *Proxy) publish(f plan.Frontend) {
	s := p.services[f.Name]
	if s == nil {
		s = &service{name: f.Name, servers: map[string]*server{}}
		p.services[f.Name] = s
	}
	s.view.Store(s.newView(f))
}

// retire closes listeners that nobody wants, hands the others to their owner and
// forgets the settings of services that have gone; their sessions stay.
func (p *Proxy) retire(c *change, present map[string]bool) {
	for at, l := range p.listeners {
		if owner, ok := c.owners[at]; ok {
			l.svc.Store(p.services[owner])
			continue
		}
		p.closeListener(l)
		delete(p.listeners, at)
	}
	for name, s := range p.services {
		if present[name] {
			continue
		}
		s.view.Store(nil)
		if s.active.Load() == 0 {
			delete(p.services, name)
		}
	}
}

func (p *Proxy) openListener(l *listener, s *service) error {
	l.svc.Store(s)
	l.tokens = make([]reactor.Token, len(p.workers))
	var errs []error
	for i, w := range p.workers {
		w.loop.Do(func() {
			t, err := w.loop.Add(l.fd, &acceptor{w, l}, reactor.Readable|reactor.Exclusive)
			l.tokens[i] = t
			if err != nil {
				errs = append(errs, fmt.Errorf("serve %s: %w", l.addr, err))
			}
		})
	}
	if len(errs) == len(p.workers) {
		p.closeListener(l)
		return errors.Join(errs...)
	}
	p.listeners[l.addr] = l
	return nil
}

// cutUnusable ends the sessions of servers that are halted or down. A loop looks
// itself whether they have any: a session that starts at this moment has either been
// counted when the loop comes to it, or it starts with the new settings.
func (p *Proxy) cutUnusable() {
	bad := map[*server]bool{}
	for _, s := range p.services {
		v := s.view.Load()
		if v == nil {
			continue
		}
		for i := range v.targets {
			if t := &v.targets[i]; !t.State.KeepsFlows() {
				bad[t.srv] = true
			}
		}
	}
	if len(bad) == 0 {
		return
	}
	for _, w := range p.workers {
		w.loop.Do(func() {
			for srv := range bad {
				if srv.active.Load() > 0 {
					w.leave(bad)
					return
				}
			}
		})
	}
}
