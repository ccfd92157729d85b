package ebpf

// Codes of enum note (bpf/consts.h): what the programs count although they drop nothing.
const (
	noteFlowLost = iota
	noteFlowStored
	noteEntryStored
)

// stored are the places that the programs have taken in each table since the maps
// were made.
type stored struct{ flows, entries uint64 }

func (p *Plane) stored() (s stored, err error) {
	flows, err := total(p.objs.Notes, noteFlowStored)
	if err != nil {
		return s, err
	}
	entries, err := total(p.objs.Notes, noteEntryStored)
	return stored{flows.Packets, entries.Packets}, err
}

// evictions works out what the kernel has evicted from an LRU table, of which it says
// nothing: what was stored and not removed is either there or was evicted. It counts
// since this process began.
type evictions struct {
	begun          bool
	base           int64  // stored and not there when this process began
	added, removed uint64 // by user space, since
	total          uint64
}

// note takes the programs' count, read before a walk, and what the walk found. What is
// stored during the walk may be found and not counted yet: then the difference is too
// small, and the next walk makes up for it.
func (e *evictions) note(stored, present uint64) {
	missing := int64(stored) + int64(e.added) - int64(e.removed) - int64(present)
	if !e.begun {
		e.begun, e.base = true, missing
	}
	if n := missing - e.base; n > int64(e.total) {
		e.total = uint64(n)
	}
}

// countFromNow spares maps that nobody has used yet the wait for the first walk.
func (p *Plane) countFromNow() error {
	s, err := p.stored()
	p.lostFlows.begun, p.lostEntries.begun = s.flows == 0, s.entries == 0
	return err
}
