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
	conns          map[uint16]uint64 // open flows by real server index
}

// count walks both tables. With prune it also removes what is idle or void.
func (p *Plane) count(prune bool) (census, error) {
	now, err := p.now()
	if err != nil {
		return census{}, err
	}
	c := census{at: time.Now(), conns: map[uint16]uint64{}}
	var (
		deadFlows   []drFlowKey
		deadEntries []drPersistKey
	)
	err = each(p.objs.Flows, func(k drFlowKey, e drEntry) {
		index, ok := p.flowAlive(k, e, now)
		if !ok {
			deadFlows = append(deadFlows, k)
			return
		}
		c.flows++
		if e.Stamp&stampClosing == 0 {
			c.conns[index]++
		}
	})
	if err != nil {
		return census{}, err
	}
	err = each(p.objs.Persist, func(k drPersistKey, e drEntry) {
		if !p.entryAlive(k, e, now) {
			deadEntries = append(deadEntries, k)
			return
		}
		c.entries++
	})
	if err != nil || !prune {
		return c, err
	}
	return c, errors.Join(remove(p.objs.Flows, deadFlows), remove(p.objs.Persist, deadEntries))
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

// entryAlive tells whether a persistence entry still binds its client.
func (p *Plane) entryAlive(k drPersistKey, e drEntry, now uint32) bool {
	service, ok := p.services.live(k.Service)
	if !ok {
		return false
	}
	index, ok := p.reals.live(e.Ref)
	if !ok || p.kernel.reals[index].State == realGone {
		return false
	}
	return p.idle(now, e.Stamp) <= p.idle(p.kernel.services[service].Timeout, 0)
}

func remove[K any](m *ebpf.Map, keys []K) error {
	for _, k := range keys {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove an idle entry of %v: %w", m, err)
		}
	}
	return nil
}

// sweep removes idle flows and entries and corrects the connection counts.
func (p *Plane) sweep() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil {
		return nil
	}
	c, err := p.count(true)
	if err != nil {
		return err
	}
	p.census = c
	for index, r := range p.kernel.reals {
		if err := p.correct(index, r, c.conns[index]); err != nil {
			return err
		}
	}
	return nil
}

// correct sets a server's connection count and the hysteresis of its limits: full
// at MaxConns, open again at MinConns.
func (p *Plane) correct(index uint16, r drReal, conns uint64) error {
	var have drLoad
	if err := p.objs.Loads.Lookup(uint32(index), &have); err != nil {
		return fmt.Errorf("read a connection count: %w", err)
	}
	next := drLoad{Conns: int64(conns), Full: have.Full}
	switch {
	case r.MaxConns == 0:
		next.Full = 0
	case conns >= uint64(r.MaxConns):
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

func resumeAt(r drReal) uint64 {
	if r.MinConns > 0 {
		return uint64(r.MinConns)
	}
	return uint64(r.MaxConns) - 1
}
