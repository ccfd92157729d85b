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
	p.kernel, p.adopted, p.freshSlots = newImage(), map[uint16]drReal{}, map[uint16]bool{}
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

// program makes the kernel hold the table, which admit has let in. What finds no place
// is left out and named: an index is free again only when its owner is gone from the
// kernel, so that a repetition may succeed.
func (p *Plane) program(t plan.L4Table) (left []error, err error) {
	if err := p.settings(t.Leased); err != nil {
		return nil, err
	}
	w := want{newImage(), map[uint16]bool{}, map[uint16]bool{}, map[uint16]bool{}}
	p.table = plan.L4Table{Leased: t.Leased}
	for _, s := range t.Services {
		at, err := p.takePlaces(s)
		if err != nil {
			left = append(left, fmt.Errorf("service %s: %w", s.Name, err))
			continue
		}
		p.wantService(&w, s, at)
		p.table.Services = append(p.table.Services, s)
	}
	for _, v := range t.OtherVIPs {
		slot, err := p.takeSlot(v.Addr)
		if err != nil {
			left = append(left, fmt.Errorf("address %s: %w", v.Addr, err))
			continue
		}
		w.wantVIP(v.Addr, slot, vipGuarded)
		p.table.OtherVIPs = append(p.table.OtherVIPs, v)
	}
	p.resolveAll(&w)
	return left, p.write(w)
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

// places are the indexes of one service.
type places struct {
	service, slot uint16
	reals         []uint16
}

// takePlaces takes all places of a service before anything of it is wanted. What an
// unlucky one has taken is given back when the image is written.
func (p *Plane) takePlaces(s plan.L4Service) (at places, err error) {
	var fresh bool
	if at.service, fresh, err = p.services.take(identify(s.Name)); err != nil {
		return at, fmt.Errorf("services: %w", err)
	}
	if fresh {
		if err = p.own(p.objs.ServiceIds, p.objs.ServiceStats, at.service, p.services); err != nil {
			return at, err
		}
	}
	for _, r := range s.Reals {
		var index uint16
		if index, err = p.takeReal(s.Name, r); err != nil {
			return at, fmt.Errorf("real server %s: %w", r.Name, err)
		}
		at.reals = append(at.reals, index)
	}
	at.slot, err = p.takeSlot(s.Addr)
	return at, err
}

// takeSlot returns the slot of an address. A slot that changes hands takes nothing
// along from its last owner: flows are found by slot.
func (p *Plane) takeSlot(a netip.Addr) (uint16, error) {
	slot, fresh, err := p.vipSlots.take(identify(a.String()))
	if err != nil {
		return 0, fmt.Errorf("virtual addresses: %w", err)
	}
	if fresh {
		p.freshSlots[slot] = true
	}
	return slot, nil
}

func (p *Plane) wantService(w *want, s plan.L4Service, at places) {
	w.serviceIDs[at.service] = true
	w.services[at.service] = p.serviceRecord(s, p.services.ref(at.service))
	p.wantReals(w, s, at)
	w.wantVIP(s.Addr, at.slot, vipBalanced)
	w.addPorts(s, at)
}

// own notes a new owner of an index and zeroes its counters.
func (p *Plane) own(owners, stats *ebpf.Map, index uint16, from *ids) error {
	zero := make([]drCounter, ebpf.MustPossibleCPU())
	return errors.Join(
		owners.Put(uint32(index), drIdentity{Hash: from.owners[index]}),
		stats.Put(uint32(index), zero),
	)
}

func (p *Plane) wantReals(w *want, s plan.L4Service, at places) {
	var (
		roster   drRoster
		backends []maglev.Backend
	)
	for i, r := range s.Reals {
		index := at.reals[i]
		w.realIDs[index] = true
		rec := realRecord(r, p.reals.ref(index), at.service)
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
	w.rosters[at.service] = roster
	if s.Scheduler == lb.Maglev {
		w.rings[at.service] = maglev.Table(backends)
	}
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

func (w *want) wantVIP(a netip.Addr, slot, kind uint16) {
	w.slots[slot] = true
	v := w.vips[a]
	if v.Kind != vipBalanced {
		v.Slot, v.Kind = slot, kind
	}
	w.vips[a] = v
}

func (w *want) addPorts(s plan.L4Service, at places) {
	v := w.vips[s.Addr]
	v.Services[v.Shared] = at.service
	v.Shared++
	w.vips[s.Addr] = v
	for i, proto := range []lb.Protocols{lb.TCP, lb.UDP} {
		key := at.slot*2 + uint16(i)
		if w.ports[key] == nil {
			w.ports[key] = make([]uint16, 1<<16)
		}
		if s.Protocols.Has(proto) {
			paint(w.ports[key], s.Ports, at.service)
		}
	}
}

// write stores the difference: a record never names what is not there yet, so the
// first error ends it.
func (p *Plane) write(w want) error {
	k := &p.kernel
	for _, step := range []func() error{
		func() error { return p.forgetMoved(w) },
		func() error { return diff(p.objs.Reals, k.reals, w.reals) },
		func() error { return diff(p.objs.Services, k.services, w.services) },
		func() error { return diff(p.objs.Rosters, k.rosters, w.rosters) },
		func() error { return p.writeTables(p.objs.Rings, "rings", k.rings, w.rings) },
		func() error { return p.writeTables(p.objs.PortMaps, "port_maps", k.ports, w.ports) },
		p.clearSlots,
		func() error { return p.writeVIPs(w) },
		func() error { return p.retire(w) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// clearSlots removes the flows and fragments of slots that have new owners. The last
// owner's address is gone from the programs by then, so none come after it.
func (p *Plane) clearSlots() error {
	if len(p.freshSlots) == 0 {
		return nil
	}
	var (
		flows     []drFlowKey
		fragments []drFragmentKey
	)
	err := errors.Join(
		each(p.objs.Flows, func(k drFlowKey, _ drEntry) {
			if p.freshSlots[k.Vip] {
				flows = append(flows, k)
			}
		}),
		each(p.objs.Fragments, func(k drFragmentKey, _ drEntry) {
			if p.freshSlots[k.Vip] {
				fragments = append(fragments, k)
			}
		}))
	gone, err2 := remove(p.objs.Flows, flows)
	p.lostFlows.removed += gone
	_, err3 := remove(p.objs.Fragments, fragments)
	if err = errors.Join(err, err2, err3); err != nil {
		return fmt.Errorf("forget the flows of an earlier address: %w", err)
	}
	p.freshSlots = map[uint16]bool{}
	return nil
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
