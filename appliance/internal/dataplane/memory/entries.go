package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Export lists the living persistence entries, sorted.
func (p *Plane) Export(context.Context) ([]lb.PersistenceEntry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []lb.PersistenceEntry
	for k, e := range p.persist {
		if !p.binds(k, e) {
			continue
		}
		out = append(out, lb.PersistenceEntry{Service: k.service, Client: k.client, Server: e.real.spec.Name, Idle: p.idle(e)})
	}
	slices.SortFunc(out, func(a, b lb.PersistenceEntry) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.Client.Compare(b.Client))
	})
	return out, nil
}

// Import adds entries; the younger of two for one client stays, unknown and
// expired ones are skipped.
func (p *Plane) Import(_ context.Context, entries []lb.PersistenceEntry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range entries {
		s := p.services[e.Service]
		if s == nil || !s.persistent() || !e.Client.IsValid() || e.Idle < 0 || e.Idle > s.timeout() {
			continue
		}
		key := s.key(e.Client)
		i := slices.IndexFunc(s.reals, func(r *backend) bool { return r.spec.Name == e.Server })
		if i < 0 {
			continue
		}
		if have := p.persist[key]; have != nil && p.binds(key, have) && p.idle(have) <= e.Idle {
			continue
		}
		delete(p.persist, key)
		p.lose("entry_evicted", evict(p.persist, p.opts.Entries))
		p.persist[key] = &entry{real: s.reals[i], seen: p.opts.Now().Add(-e.Idle)}
	}
	return nil
}

// Clear removes entries; live flows stay and no longer renew them.
func (p *Plane) Clear(_ context.Context, sel dataplane.Selector) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for k, e := range p.persist {
		s := p.services[k.service]
		if !p.stands(k, e) || (sel.Service != "" && sel.Service != k.service) || (sel.Server != "" && sel.Server != e.real.spec.Name) ||
			(sel.Client.IsValid() && s.spec.Persistence.Key(sel.Client) != k.client) {
			continue
		}
		delete(p.persist, k)
		p.loosen(s, k)
		n++
	}
	return n, nil
}

func (p *Plane) loosen(s *service, k persistKey) {
	for f, e := range p.flows {
		if e.real.service == s && s.key(f.client) == k {
			e.loose = true
		}
	}
}

// Conflicts lists the claims to VIPs that were seen, sorted.
func (p *Plane) Conflicts(context.Context) ([]lb.ARPConflict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []lb.ARPConflict
	for _, c := range p.conflicts {
		if p.vips[c.VIP] != nil {
			out = append(out, *c)
		}
	}
	slices.SortFunc(out, func(a, b lb.ARPConflict) int {
		return cmp.Or(a.VIP.Compare(b.VIP), cmp.Compare(a.MAC, b.MAC))
	})
	return out, nil
}

var (
	_ dataplane.Plane     = (*Plane)(nil)
	_ dataplane.Entries   = (*Plane)(nil)
	_ dataplane.Conflicts = (*Plane)(nil)
	_ dataplane.Declarer  = (*Plane)(nil)
)
