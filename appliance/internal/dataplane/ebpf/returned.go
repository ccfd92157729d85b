package ebpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
)

// forgetMoved removes flows of servers that are about to come back, where their client was
// moved to another server meanwhile: a port that the client uses again would lead it away
// from its server. Nobody adds such flows while the servers are gone. A flow that was
// silent all the time, of a client that was not moved, stays.
func (p *Plane) forgetMoved(w want) error {
	back := map[uint32]drService{} // by the ref of the server
	for i, r := range w.reals {
		if have, ok := p.kernel.reals[i]; ok && have.Ref == r.Ref && have.State == realGone && r.State != realGone {
			back[r.Ref] = w.services[uint16(r.Service)]
		}
	}
	if len(back) == 0 {
		return nil
	}
	now, err := p.now()
	if err != nil {
		return err
	}
	var flows []drFlowKey
	err = p.eachFlowOf(back, func(k drFlowKey, e drEntry, s drService) error {
		moved, problem := p.movedFrom(e.Ref, k, s, w, now)
		if moved {
			flows = append(flows, k)
		}
		return problem
	})
	gone, err2 := remove(p.objs.Flows, flows)
	p.lostFlows.removed += gone
	if err = errors.Join(err, err2); err != nil {
		return fmt.Errorf("forget the flows of moved clients: %w", err)
	}
	return nil
}

// eachFlowOf calls fn for every flow to one of the servers, by ref, of a service with
// persistence.
func (p *Plane) eachFlowOf(servers map[uint32]drService, fn func(drFlowKey, drEntry, drService) error) error {
	var errs []error
	err := each(p.objs.Flows, func(k drFlowKey, e drEntry) {
		if s, ok := servers[e.Ref]; ok && s.Flags&servicePersist != 0 {
			if err := fn(k, e, s); err != nil && len(errs) == 0 {
				errs = append(errs, err)
			}
		}
	})
	return errors.Join(append(errs, err)...)
}

// movedFrom tells whether the client of a flow is tied to another server than the flow's,
// one that is wanted.
func (p *Plane) movedFrom(ref uint32, k drFlowKey, s drService, w want, now uint32) (bool, error) {
	client := drPersistKey{Client: maskWith(s, k.Client), Service: s.Ref}
	var e drEntry
	switch err := p.objs.Persist.Lookup(client, &e); {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	index, ok := p.reals.live(e.Ref)
	alive := ok && w.reals[index].State != realGone && p.idle(now, e.Stamp) <= p.idle(s.Timeout, 0)
	return e.Ref != ref && alive, nil
}
