package ebpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
)

const protoUDP = 17

// census is what one walk through the tables found.
type census struct {
	at             time.Time
	flows, entries uint64
	waiting        uint64            // entries of servers that are down: they bind nobody until these are back
	conns          map[uint16]uint64 // open flows by real server index
}

// found is one walk: the census, and what is idle or void, as it was seen.
type found struct {
	census
	deadFlows   map[drFlowKey]drEntry
	deadEntries map[drPersistKey]drEntry
}

// count walks both tables.
func (p *Plane) count() (found, error) {
	now, err := p.now()
	if err != nil {
		return found{}, err
	}
	stored, err := p.stored()
	if err != nil {
		return found{}, err
	}
	f := found{census{at: time.Now(), conns: map[uint16]uint64{}}, map[drFlowKey]drEntry{}, map[drPersistKey]drEntry{}}
	err = each(p.objs.Flows, func(k drFlowKey, e drEntry) {
		index, ok := p.flowAlive(k, e, now)
		if !ok {
			f.deadFlows[k] = e
			return
		}
		f.flows++
		if e.Stamp&stampClosing == 0 {
			f.conns[index]++
		}
	})
	if err != nil {
		return found{}, err
	}
	err = each(p.objs.Persist, func(k drPersistKey, e drEntry) {
		switch {
		case !p.entryStands(k, e, now):
			f.deadEntries[k] = e
		case p.entryAlive(k, e, now):
			f.entries++
		default:
			f.waiting++
		}
	})
	if err != nil {
		return found{}, err
	}
	p.lostFlows.note(stored.flows, f.flows+uint64(len(f.deadFlows)))
	p.lostEntries.note(stored.entries, f.entries+f.waiting+uint64(len(f.deadEntries)))
	return f, nil
}

// flowAlive tells whether a flow counts, and for which server.
func (p *Plane) flowAlive(k drFlowKey, e drEntry, now uint32) (uint16, bool) {
	index, ok := p.reals.live(e.Ref)
	if !ok {
		return 0, false
	}
	r := p.kernel.reals[index]
	if r.State == realGone {
		return 0, false
	}
	return index, p.idle(now, e.Stamp) <= p.flowTimeout(k, e, r)
}

func (p *Plane) flowTimeout(k drFlowKey, e drEntry, r drReal) time.Duration {
	switch {
	case e.Stamp&stampClosing != 0:
		return p.opts.Closing
	case k.Proto == protoUDP:
		timeout := p.kernel.services[uint16(r.Service)].Timeout
		return min(p.opts.UDPIdle, p.idle(timeout, 0))
	default:
		return p.opts.TCPIdle
	}
}

// entryAlive tells whether a persistence entry binds its client now.
func (p *Plane) entryAlive(k drPersistKey, e drEntry, now uint32) bool {
	index, ok := p.reals.live(e.Ref)
	return ok && p.kernel.reals[index].State != realGone && p.entryStands(k, e, now)
}

// entryStands tells whether an entry may bind its client again. One of a server that is down
// does: a node that has just started has its peer's entries before its first checks have
// answered.
func (p *Plane) entryStands(k drPersistKey, e drEntry, now uint32) bool {
	service, ok := p.services.live(k.Service)
	if !ok {
		return false
	}
	_, ok = p.reals.live(e.Ref)
	return ok && p.idle(now, e.Stamp) <= p.idle(p.kernel.services[service].Timeout, 0)
}

// bury removes what a walk found dead and returns how many went. The programs go on
// meanwhile: what has come back to life since stays, and what comes back between the
// second look and the removal is put back, unless it is there again by itself.
func bury[K comparable](m *ebpf.Map, dead map[K]drEntry) (gone uint64, err error) {
	for k, seen := range dead {
		var have drEntry
		if err := m.Lookup(k, &have); err != nil || have != seen {
			continue // evicted or alive: none of our business
		}
		err := m.LookupAndDelete(k, &have)
		if err == nil && have != seen {
			err = m.Update(k, have, ebpf.UpdateNoExist)
		} else if err == nil {
			gone++
		}
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) && !errors.Is(err, ebpf.ErrKeyExist) {
			return gone, fmt.Errorf("remove an idle entry of %v: %w", m, err)
		}
	}
	return gone, nil
}

// sweep removes idle flows and entries and corrects the connection counts.
func (p *Plane) sweep() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return nil
	}
	before, err := p.loads()
	if err != nil {
		return err
	}
	f, err := p.count()
	if err != nil {
		return err
	}
	p.census = f.census
	if err = p.correctAll(before, f.conns); err != nil {
		return err
	}
	flows, err := bury(p.objs.Flows, f.deadFlows)
	entries, err2 := bury(p.objs.Persist, f.deadEntries)
	p.lostFlows.removed += flows
	p.lostEntries.removed += entries
	return errors.Join(err, err2)
}

// loads are the connection counts of the programs, by real server index.
func (p *Plane) loads() (map[uint16]drLoad, error) {
	out := map[uint16]drLoad{}
	for index := range p.kernel.reals {
		var l drLoad
		if err := p.objs.Loads.Lookup(uint32(index), &l); err != nil {
			return nil, fmt.Errorf("read a connection count: %w", err)
		}
		out[index] = l
	}
	return out, nil
}

// correctAll sets the counts to what a walk found and what has changed since it began.
// A connection that began during the walk may be in both, one too many until the next
// sweep: better than one too few, which would let a limit be passed.
func (p *Plane) correctAll(before map[uint16]drLoad, conns map[uint16]uint64) error {
	now, err := p.loads()
	if err != nil {
		return err
	}
	for index, have := range now {
		since := have.Conns - before[index].Conns
		if err := p.correct(index, have, max(int64(conns[index])+since, 0)); err != nil {
			return err
		}
	}
	return nil
}

// correct sets a server's connection count and the hysteresis of its limits: full
// at MaxConns, open again at MinConns.
func (p *Plane) correct(index uint16, have drLoad, conns int64) error {
	r := p.kernel.reals[index]
	next := drLoad{Conns: conns, Full: have.Full}
	switch {
	case r.MaxConns == 0:
		next.Full = 0
	case conns >= int64(r.MaxConns):
		next.Full = 1
	case conns <= resumeAt(r):
		next.Full = 0
	}
	if next == have {
		return nil
	}
	if err := p.objs.Loads.Put(uint32(index), next); err != nil {
		return fmt.Errorf("correct a connection count: %w", err)
	}
	return nil
}

func resumeAt(r drReal) int64 {
	if r.MinConns > 0 {
		return int64(r.MinConns)
	}
	return int64(r.MaxConns) - 1
}
