package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/maglev"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// adopt reads who owned which index, so that a restart changes nothing.
func (p *Plane) adopt() error {
	p.kernel, p.adopted = newImage(), map[uint16]drReal{}
	p.services = newIDs(int(p.objs.Services.MaxEntries()))
	p.reals = newIDs(int(p.objs.Reals.MaxEntries()))
	p.vipSlots = newIDs(int(p.objs.PortMaps.MaxEntries()) / 2)
	if p.opts.PinDir == "" {
		return nil
	}
	services, reals := map[uint32]uint32{}, map[uint32]uint32{} // refs by index
	err := errors.Join(
		each(p.objs.Services, func(i uint32, s drService) { services[i] = s.Ref }),
		each(p.objs.Reals, func(i uint32, r drReal) { reals[i], p.adopted[uint16(i)] = r.Ref, r }),
		restore(p.services, p.objs.ServiceIds, services),
		restore(p.reals, p.objs.RealIds, reals))
	if err != nil {
		return err
	}
	return p.adoptVIPs()
}

func restore(to *ids, owners *ebpf.Map, refs map[uint32]uint32) error {
	return each(owners, func(i uint32, owner drIdentity) { to.restore(int(i), refs[i], owner.Hash) })
}

// want is the desired image with the indexes in use.
type want struct {
	image
	serviceIDs, realIDs, slots map[uint16]bool
}

// program makes the kernel hold the table.
func (p *Plane) program(t plan.L4Table) error {
	if err := p.settings(t.Leased); err != nil {
		return err
	}
	w := want{newImage(), map[uint16]bool{}, map[uint16]bool{}, map[uint16]bool{}}
	for _, s := range t.Services {
		if err := p.wantService(&w, s); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	for _, v := range t.OtherVIPs {
		if _, err := p.wantVIP(&w, v.Addr, vipGuarded); err != nil {
			return fmt.Errorf("address %s: %w", v.Addr, err)
		}
	}
	p.resolveAll(&w)
	return p.write(w)
}

func (p *Plane) settings(leased bool) error {
	c := drConfig{Version: layoutVersion, Hz: uint32(p.hz)}
	if leased {
		c.Leased = 1
	}
	if err := p.objs.Settings.Put(uint32(0), c); err != nil {
		return fmt.Errorf("write the settings: %w", err)
	}
	return nil
}

func (p *Plane) wantService(w *want, s plan.L4Service) error {
	index, fresh, err := p.services.take(identify(s.Name))
	if err != nil {
		return err
	}
	if fresh {
		err = p.own(p.objs.ServiceIds, p.objs.ServiceStats, index, p.services)
	}
	w.serviceIDs[index] = true
	w.services[index] = p.serviceRecord(s, p.services.ref(index))
	if err = errors.Join(err, p.wantReals(w, s, index)); err != nil {
		return err
	}
	slot, err := p.wantVIP(w, s.Addr, vipBalanced)
	if err != nil {
		return err
	}
	return w.addPorts(s, slot, index)
}

// own notes a new owner of an index and zeroes its counters.
func (p *Plane) own(owners, stats *ebpf.Map, index uint16, from *ids) error {
	zero := make([]drCounter, ebpf.MustPossibleCPU())
	return errors.Join(
		owners.Put(uint32(index), drIdentity{Hash: from.owners[index]}),
		stats.Put(uint32(index), zero),
	)
}

func (p *Plane) wantReals(w *want, s plan.L4Service, service uint16) error {
	var (
		roster   drRoster
		backends []maglev.Backend
	)
	for _, r := range s.Reals {
		index, err := p.takeReal(s.Name, r)
		if err != nil {
			return fmt.Errorf("real server %s: %w", r.Name, err)
		}
		w.realIDs[index] = true
		rec := realRecord(r, p.reals.ref(index), service)
		if r.State == lb.Unchecked {
			rec.State = p.stands(index)
		}
		w.reals[index] = rec
		roster.Real[roster.N] = index
		roster.N++
		if rec.State == realOpen {
			backends = append(backends, maglev.Backend{Name: r.Name + "\x00" + r.Addr.String(), ID: index, Weight: r.Weight})
		}
	}
	w.rosters[service] = roster
	if s.Scheduler == lb.Maglev {
		w.rings[service] = maglev.Table(backends)
	}
	return nil
}

// stands is the state of a real server in the kernel: that of an earlier daemon too,
// so that a restart takes nobody out before the first checks have answered.
func (p *Plane) stands(index uint16) uint16 {
	rec, ok := p.kernel.reals[index]
	if !ok {
		rec = p.adopted[index]
	}
	if rec.Ref != p.reals.ref(index) {
		return realGone // the place was another server's
	}
	return rec.State
}

func (p *Plane) takeReal(service string, r plan.L4Real) (uint16, error) {
	index, fresh, err := p.reals.take(identify(service, r.Name, r.Addr.String()))
	if err != nil || !fresh {
		return index, err
	}
	return index, errors.Join(
		p.own(p.objs.RealIds, p.objs.RealStats, index, p.reals),
		p.objs.Loads.Put(uint32(index), drLoad{}),
	)
}

// wantVIP returns the slot of an address.
func (p *Plane) wantVIP(w *want, a netip.Addr, kind uint16) (uint16, error) {
	slot, _, err := p.vipSlots.take(identify(a.String()))
	if err != nil {
		return 0, err
	}
	w.slots[slot] = true
	v := w.vips[a]
	if v.Kind != vipBalanced {
		v.Slot, v.Kind = slot, kind
	}
	w.vips[a] = v
	return slot, nil
}

func (w *want) addPorts(s plan.L4Service, slot, service uint16) error {
	v := w.vips[s.Addr]
	if v.Shared == maxShared {
		return fmt.Errorf("more than %d services on %s", maxShared, s.Addr)
	}
	v.Services[v.Shared] = service
	v.Shared++
	w.vips[s.Addr] = v
	for i, proto := range []lb.Protocols{lb.TCP, lb.UDP} {
		key := slot*2 + uint16(i)
		if w.ports[key] == nil {
			w.ports[key] = make([]uint16, 1<<16)
		}
		if s.Protocols.Has(proto) {
			paint(w.ports[key], s.Ports, service)
		}
	}
	return nil
}

// write stores the difference: a record never names what is not there yet.
func (p *Plane) write(w want) error {
	k := &p.kernel
	errs := []error{
		diff(p.objs.Reals, k.reals, w.reals),
		diff(p.objs.Services, k.services, w.services),
		diff(p.objs.Rosters, k.rosters, w.rosters),
		p.writeTables(p.objs.Rings, "rings", k.rings, w.rings),
		p.writeTables(p.objs.PortMaps, "port_maps", k.ports, w.ports),
		p.writeVIPs(w),
		p.retire(w),
	}
	return errors.Join(errs...)
}

// diff writes the records of an array that changed.
func diff[V comparable](m *ebpf.Map, have, wanted map[uint16]V) error {
	for i, v := range wanted {
		if old, ok := have[i]; ok && old == v {
			continue
		}
		if err := m.Put(uint32(i), v); err != nil {
			return fmt.Errorf("write %v: %w", m, err)
		}
		have[i] = v
	}
	return nil
}

// writeTables swaps whole tables under their outer slot.
func (p *Plane) writeTables(outer *ebpf.Map, name string, have, wanted map[uint16][]uint16) error {
	for i, t := range wanted {
		if old, ok := have[i]; ok && slices.Equal(old, t) {
			continue
		}
		if err := swapTable(outer, name, uint32(i), t); err != nil {
			return fmt.Errorf("write table %d of %s: %w", i, name, err)
		}
		have[i] = t
	}
	return nil
}

func swapTable(outer *ebpf.Map, name string, slot uint32, table []uint16) error {
	spec, err := loadDr()
	if err != nil {
		return err
	}
	inner := spec.Maps[name].InnerMap
	m, err := ebpf.NewMap(inner)
	if err != nil {
		return err
	}
	defer m.Close()
	value := make([]byte, inner.ValueSize)
	for i, v := range table {
		value[2*i], value[2*i+1] = byte(v), byte(v>>8)
	}
	if err := m.Put(uint32(0), value); err != nil {
		return err
	}
	return outer.Put(slot, m)
}

func (p *Plane) writeVIPs(w want) error {
	for a, v := range w.vips {
		if old, ok := p.kernel.vips[a]; ok && old == v {
			continue
		}
		if err := p.putVIP(a, v); err != nil {
			return fmt.Errorf("write VIP %s: %w", a, err)
		}
		p.kernel.vips[a] = v
	}
	for a := range p.kernel.vips {
		if _, ok := w.vips[a]; ok {
			continue
		}
		if err := p.dropVIP(a); err != nil {
			return fmt.Errorf("remove VIP %s: %w", a, err)
		}
		delete(p.kernel.vips, a)
	}
	return nil
}

// retire voids what is no longer wanted: refs stay, so that the next owner of an
// index takes another generation.
func (p *Plane) retire(w want) error {
	var errs []error
	for _, i := range p.reals.release(w.realIDs) {
		delete(p.kernel.reals, i)
		errs = append(errs, p.objs.Reals.Put(uint32(i), drReal{Ref: p.reals.ref(i)}),
			p.objs.RealIds.Put(uint32(i), drIdentity{}))
	}
	for _, i := range p.services.release(w.serviceIDs) {
		delete(p.kernel.services, i)
		delete(p.kernel.rosters, i)
		delete(p.kernel.rings, i)
		errs = append(errs, p.objs.Services.Put(uint32(i), drService{Ref: p.services.ref(i)}),
			p.objs.ServiceIds.Put(uint32(i), drIdentity{}), absent(p.objs.Rings.Delete(uint32(i))))
	}
	for _, i := range p.vipSlots.release(w.slots) {
		for _, key := range []uint16{i * 2, i*2 + 1} {
			delete(p.kernel.ports, key)
			errs = append(errs, absent(p.objs.PortMaps.Delete(uint32(key))))
		}
	}
	return errors.Join(errs...)
}

func absent(err error) error {
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

// each calls fn for every pair of a map, in batches.
func each[K, V any](m *ebpf.Map, fn func(K, V)) error {
	const chunk = 4096
	var (
		cursor ebpf.MapBatchCursor
		keys   = make([]K, chunk)
		values = make([]V, chunk)
	)
	for {
		n, err := m.BatchLookup(&cursor, keys, values, nil)
		for i := range n {
			fn(keys[i], values[i])
		}
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist):
			return nil
		case err != nil:
			return fmt.Errorf("read %v: %w", m, err)
		}
	}
}
