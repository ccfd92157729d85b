package ebpf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/dptest"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/ebpf/lease"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/memory"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/internal/netns"
)

// bench runs packets through the loaded programs by BPF_PROG_TEST_RUN.
type bench struct {
	*Plane
	t    *testing.T
	ns   *netns.NS
	opts Options
	reps map[[6]byte]netip.Addr // real servers by MAC
	// tables are the ids of tables and links at the latest Mark.
	tables []uint32
}

func TestConformance(t *testing.T) { dptest.Run(t, newBench) }

func TestDifferential(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { dptest.Differential(t, newBench, seed, 400) })
	}
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("v6 seed ", seed), func(t *testing.T) { dptest.Differential(t, newBench, seed, 400, "v6") })
	}
}

func newBench(t *testing.T, table plan.L4Table) dptest.Bench {
	t.Helper()
	b := &bench{t: t, opts: Options{PinDir: bpffs(t)}, reps: map[[6]byte]netip.Addr{}}
	for _, s := range table.Services {
		for _, r := range s.Reals {
			b.reps[macFor(r.Addr)] = r.Addr
		}
	}
	b.Plane, b.ns = testPlane(t, b.opts, table)
	b.opts.Flows, b.opts.Entries = b.Plane.opts.Flows, b.Plane.opts.Entries
	return b
}

func (b *bench) Set(ctx context.Context, table plan.L4Table) error {
	return b.ns.Do(func() error { return b.Plane.Set(ctx, table) })
}

func (b *bench) Ingress(_ memory.Packet, frame []byte) (memory.Verdict, error) {
	return b.through(b.objs.Ingress, frame)
}

func (b *bench) Egress(_ memory.Packet, frame []byte) (memory.Verdict, error) {
	return b.through(b.objs.Egress, frame)
}

// through tells the verdict from the return code, the MAC written into the frame
// and the drop counter that moved.
func (b *bench) through(prog *ebpf.Program, frame []byte) (v memory.Verdict, err error) {
	before, err := b.dropCounts()
	if err != nil {
		return v, err
	}
	var (
		ret uint32
		out []byte
	)
	if err = b.ns.Do(func() (err error) { ret, out, err = prog.Test(frame); return err }); err != nil {
		return v, err
	}
	switch ret {
	case 0xffffffff:
		return v, nil
	case redirected:
		v.Action = memory.Forward
		v.Server = b.reps[[6]byte(out[:6])]
		if !v.Server.IsValid() {
			err = fmt.Errorf("redirected to the unknown MAC %x", out[:6])
		}
		return v, err
	case 2:
		v.Action = memory.Drop
		after, err := b.dropCounts()
		for i, reason := range dropReasons() {
			if after[i] != before[i] {
				v.Reason += reason
			}
		}
		return v, err
	}
	return v, fmt.Errorf("unknown verdict %d", ret)
}

func (b *bench) dropCounts() ([]uint64, error) {
	var out []uint64
	for i := range dropReasons() {
		c, err := total(b.objs.Drops, uint32(i))
		if err != nil {
			return nil, err
		}
		out = append(out, c.Packets)
	}
	return out, nil
}

func (b *bench) Age(d time.Duration) error { return b.age(d) }
func (b *bench) Sweep() error              { return b.sweep() }

func (b *bench) Lease(held bool) {
	b.lease.Renew(map[bool]uint64{true: lease.Forever, false: lease.NotHeld}[held])
}

func (b *bench) Restart() error {
	if err := b.Close(); err != nil {
		return err
	}
	return b.ns.Do(func() (err error) {
		b.Plane, err = New(b.opts)
		return err
	})
}

// marks are values that no Set writes, in records of a table that is programmed.
const (
	markPad    = 0x4d4d
	markWeight = 0x4d4d4d
)

// Mark changes a record of each kind behind the engine's back and notes which tables
// hang where; what an equal Set rewrites loses its mark.
func (b *bench) Mark() error {
	return b.marks(func(s *drConfig) { s.Pad = markPad }, func(s *drService) { s.Pad = markPad },
		func(r *drReal) { r.Weight = markWeight }, func(r *drRoster) { r.Real[maxRoster-1] = markPad },
		func(v *drVipSlot) { v.Vip.Pad = markPad })
}

func (b *bench) marks(set func(*drConfig), service func(*drService), server func(*drReal), roster func(*drRoster), vip func(*drVipSlot)) error {
	errs := []error{change(b.objs.Settings, 0, set)}
	for i := range b.kernel.services {
		errs = append(errs, change(b.objs.Services, uint32(i), service), change(b.objs.Rosters, uint32(i), roster))
	}
	for i := range b.kernel.reals {
		errs = append(errs, change(b.objs.Reals, uint32(i), server))
	}
	for i := range uint32(vipSlots) {
		errs = append(errs, change(b.objs.Vips, i, func(v *drVipSlot) {
			if v.Vip.Kind != 0 {
				vip(v)
			}
		}))
	}
	var err error
	b.tables, err = b.tableIDs()
	return errors.Join(append(errs, err)...)
}

func change[V any](m *ebpf.Map, i uint32, fn func(*V)) error {
	var v V
	if err := m.Lookup(i, &v); err != nil {
		return err
	}
	fn(&v)
	return m.Put(i, v)
}

// tableIDs are the kernel's ids of the tables in use and of the links.
func (b *bench) tableIDs() (out []uint32, err error) {
	for _, outer := range []*ebpf.Map{b.objs.PortMaps, b.objs.Rings} {
		for i := range outer.MaxEntries() {
			var id uint32
			if err := outer.Lookup(i, &id); err == nil {
				out = append(out, id)
			} else if !errors.Is(err, ebpf.ErrKeyNotExist) {
				return nil, err
			}
		}
	}
	for _, a := range b.ifaces {
		for _, l := range a.links {
			info, err := l.Info()
			if err != nil {
				return nil, err
			}
			out = append(out, uint32(info.ID))
		}
	}
	return out, nil
}

// Marked says whether every mark stands.
func (b *bench) Marked() (bool, error) {
	before, still := b.tables, true
	err := b.marks(
		func(s *drConfig) { still = still && s.Pad == markPad }, func(s *drService) { still = still && s.Pad == markPad },
		func(r *drReal) { still = still && r.Weight == markWeight }, func(r *drRoster) { still = still && r.Real[maxRoster-1] == markPad },
		func(v *drVipSlot) { still = still && v.Vip.Pad == markPad })
	return still && slices.Equal(before, b.tables), err
}
