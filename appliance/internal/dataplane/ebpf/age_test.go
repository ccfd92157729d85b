package ebpf

import (
	"errors"
	"time"

	"github.com/cilium/ebpf"
)

// age makes every flow and entry older by d, for tests of timeouts.
func (p *Plane) age(d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	older := func(e drEntry) drEntry { e.Stamp -= p.stamps(d) &^ stampFlags; return e }
	return errors.Join(ageMap[drFlowKey](p.objs.Flows, older), ageMap[drPersistKey](p.objs.Persist, older),
		ageMap[drFragmentKey](p.objs.Fragments, older))
}

func ageMap[K comparable](m *ebpf.Map, older func(drEntry) drEntry) error {
	all := map[K]drEntry{}
	err := each(m, func(k K, e drEntry) { all[k] = older(e) })
	for k, e := range all {
		err = errors.Join(err, m.Update(k, e, ebpf.UpdateAny))
	}
	return err
}
