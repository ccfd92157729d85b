package ebpf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

var errClosed = errors.New("the layer-4 engine is closed")

// names maps indexes to the words of the configuration.
type names struct {
	services map[uint16]plan.L4Service
	reals    map[uint16]plan.L4Real
}

func (p *Plane) names() names {
	n := names{map[uint16]plan.L4Service{}, map[uint16]plan.L4Real{}}
	for _, s := range p.table.Services {
		i, ok := p.services.index[identify(s.Name)]
		if !ok {
			continue
		}
		n.services[i] = s
		for _, r := range s.Reals {
			if j, ok := p.reals.index[identify(s.Name, r.Name, r.Addr.String())]; ok {
				n.reals[j] = r
			}
		}
	}
	return n
}

// Export lists the living persistence entries.
func (p *Plane) Export(ctx context.Context) ([]lb.PersistenceEntry, error) {
	var out []lb.PersistenceEntry
	err := p.eachEntry(func(_ drPersistKey, _ drEntry, e lb.PersistenceEntry) {
		out = append(out, e)
	})
	return out, errors.Join(err, ctx.Err())
}

// eachEntry calls fn for every living entry, with its raw and its readable form.
func (p *Plane) eachEntry(fn func(drPersistKey, drEntry, lb.PersistenceEntry)) error {
	return p.eachOf(p.entryAlive, fn)
}

// eachOf calls fn for every entry of which that is true.
func (p *Plane) eachOf(is func(drPersistKey, drEntry, uint32) bool, fn func(drPersistKey, drEntry, lb.PersistenceEntry)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return errClosed
	}
	now, err := p.now()
	if err != nil {
		return err
	}
	words := p.names()
	return each(p.objs.Persist, func(k drPersistKey, e drEntry) {
		if is(k, e, now) {
			fn(k, e, p.readable(words, k, e, now))
		}
	})
}

func (p *Plane) readable(words names, k drPersistKey, e drEntry, now uint32) lb.PersistenceEntry {
	return lb.PersistenceEntry{
		Service: words.services[uint16(k.Service)].Name,
		Client:  unwire(k.Client),
		Server:  words.reals[uint16(e.Ref)].Name,
		Idle:    p.idle(now, e.Stamp),
	}
}

// Import adds entries from a peer. The younger of two entries for a client stays;
// entries for unknown services and servers and expired ones are skipped. What is
// imported is marked until the client itself has been seen here, and Watch does not
// report it: two nodes that told each other of each other's news would keep an entry
// alive for ever, each adding the time that the news was on its way.
func (p *Plane) Import(ctx context.Context, entries []lb.PersistenceEntry) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return errClosed
	}
	now, err := p.now()
	if err != nil {
		return err
	}
	known := p.importer()
	for _, e := range entries {
		k, ref, ok := known.raw(e)
		if !ok {
			continue
		}
		if err := p.importOne(k, drEntry{Ref: ref, Stamp: (now-p.stamps(e.Idle))&^stampFlags | stampImported}, now); err != nil {
			return fmt.Errorf("import the entry of client %s: %w", e.Client, err)
		}
	}
	return ctx.Err()
}

// importer finds refs by the words of the configuration.
type importer struct {
	services map[string]plan.L4Service
	refs     map[string]uint32    // of services
	reals    map[lb.RealID]uint32 // refs
}

func (p *Plane) importer() importer {
	m := importer{map[string]plan.L4Service{}, map[string]uint32{}, map[lb.RealID]uint32{}}
	for _, s := range p.table.Services {
		i, ok := p.services.index[identify(s.Name)]
		if !ok {
			continue
		}
		m.services[s.Name], m.refs[s.Name] = s, p.services.ref(i)
		for _, r := range s.Reals {
			if j, ok := p.reals.index[identify(s.Name, r.Name, r.Addr.String())]; ok {
				m.reals[lb.RealID{Service: s.Name, Real: r.Name}] = p.reals.ref(j)
			}
		}
	}
	return m
}

func (m importer) raw(e lb.PersistenceEntry) (drPersistKey, uint32, bool) {
	s, ok := m.services[e.Service]
	ref, ok2 := m.reals[lb.RealID{Service: e.Service, Real: e.Server}]
	if !ok || !ok2 || !e.Client.IsValid() || e.Idle < 0 || e.Idle > timeoutOf(s) || s.Persistence.Kind == lb.PersistNone {
		return drPersistKey{}, 0, false
	}
	return drPersistKey{Client: wire(s.Persistence.Key(e.Client)), Service: m.refs[e.Service]}, ref, true
}

func (p *Plane) importOne(k drPersistKey, e drEntry, now uint32) error {
	err := p.objs.Persist.Update(k, e, ebpf.UpdateNoExist)
	if err == nil {
		p.lostEntries.added++
	}
	if !errors.Is(err, ebpf.ErrKeyExist) {
		return err
	}
	var have drEntry
	if err := p.objs.Persist.Lookup(k, &have); err != nil {
		return absent(err)
	}
	if p.entryAlive(k, have, now) && p.idle(now, have.Stamp) <= p.idle(now, e.Stamp) {
		return nil
	}
	return p.objs.Persist.Update(k, e, ebpf.UpdateAny)
}

// Clear removes entries. Live flows stay on their servers but no longer renew the
// client's entry: the client's next flow is scheduled as new.
func (p *Plane) Clear(ctx context.Context, sel dataplane.Selector) (int, error) {
	var keys []drPersistKey
	err := p.eachOf(p.entryStands, func(k drPersistKey, _ drEntry, e lb.PersistenceEntry) {
		if selected(sel, e, p.table) {
			keys = append(keys, k)
		}
	})
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return 0, errClosed
	}
	if err = p.loosen(keys); err != nil {
		return 0, err
	}
	gone, err := remove(p.objs.Persist, keys)
	p.lostEntries.removed += gone
	return len(keys), errors.Join(err, ctx.Err())
}

// remove deletes keys and returns how many were there.
func remove[K any](m *ebpf.Map, keys []K) (gone uint64, err error) {
	for _, k := range keys {
		switch err := m.Delete(k); {
		case err == nil:
			gone++
		case absent(err) != nil:
			return gone, fmt.Errorf("remove an entry of %v: %w", m, err)
		}
	}
	return gone, nil
}

func selected(sel dataplane.Selector, e lb.PersistenceEntry, t plan.L4Table) bool {
	return (sel.Service == "" || sel.Service == e.Service) &&
		(sel.Server == "" || sel.Server == e.Server) &&
		(!sel.Client.IsValid() || keyOf(t, e.Service, sel.Client) == e.Client)
}

func keyOf(t plan.L4Table, service string, client netip.Addr) netip.Addr {
	for _, s := range t.Services {
		if s.Name == service {
			return s.Persistence.Key(client)
		}
	}
	return client
}

// loosen marks the flows of cleared clients.
func (p *Plane) loosen(keys []drPersistKey) error {
	cleared := map[drPersistKey]bool{}
	for _, k := range keys {
		cleared[k] = true
	}
	marked := map[drFlowKey]drEntry{}
	err := each(p.objs.Flows, func(k drFlowKey, e drEntry) {
		index, ok := p.reals.live(e.Ref)
		if !ok {
			return
		}
		s := p.kernel.services[uint16(p.kernel.reals[index].Service)]
		if cleared[drPersistKey{Client: maskWith(s, k.Client), Service: s.Ref}] {
			e.Stamp |= stampLoose
			marked[k] = e
		}
	})
	for k, e := range marked {
		err = errors.Join(err, absent(p.objs.Flows.Update(k, e, ebpf.UpdateExist)))
	}
	return err
}

func maskWith(s drService, a drAddr) drAddr {
	mask := s.Mask6
	if unwire(a).Is4() {
		mask = s.Mask4
	}
	return drAddr{W: [2]uint64{a.W[0] & mask.W[0], a.W[1] & mask.W[1]}}
}
