package ebpf

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

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
}

func TestConformance(t *testing.T) { dptest.Run(t, newBench) }

func TestDifferential(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { dptest.Differential(t, newBench, seed, 400) })
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
	// Neighbours that Set releases come back with the server, as on a real segment.
	return b.ns.Do(func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		for _, a := range b.reps {
			if err := neighbour(l.Attrs().Index, a); err != nil {
				return err
			}
		}
		return b.Plane.Set(ctx, table)
	})
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
