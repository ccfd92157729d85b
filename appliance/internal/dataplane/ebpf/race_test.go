package ebpf

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/netns"
)

// crowd is the usual table with so many servers that a decision takes microseconds. The
// last ten are the best, so that two decisions differ if one is stored during the other.
func crowd(change ...func(*plan.L4Service)) plan.L4Table {
	return service(vip4, append([]func(*plan.L4Service){func(s *plan.L4Service) {
		s.Reals = nil
		for i := range 200 {
			r := plan.L4Real{Name: fmt.Sprintf("s%d", i), Addr: netip.AddrFrom4([4]byte{10, 77, 1, byte(i)}), Weight: 1}
			if i >= 190 {
				r.Weight = 1_000_000
			}
			s.Reals = append(s.Reals, r)
		}
	}}, change...)...)
}

// halved is the crowd without half of the best.
func halved(s *plan.L4Service) {
	for i := 190; i < 195; i++ {
		s.Reals[i].State = lb.Halted
	}
}

// Two CPUs decide for the same clients at once: a client never splits, whether it is
// new, or its entry has expired, or its server was halted.
func TestParallelFirstConnections(t *testing.T) {
	const clients = 1500
	for name, before := range map[string]func(*testing.T, *Plane, *netns.NS){
		"new": func(*testing.T, *Plane, *netns.NS) {},
		"expired": func(t *testing.T, p *Plane, ns *netns.NS) {
			t.Helper()
			together(t, p, ns, clients, 900)
			if err := p.age(2 * time.Minute); err != nil {
				t.Fatal(err)
			}
		},
		"halted": func(t *testing.T, p *Plane, ns *netns.NS) {
			t.Helper()
			together(t, p, ns, clients, 900)
			table := crowd(halved)
			if err := ns.Do(func() error { return p.Set(t.Context(), table) }); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, ns := testPlane(t, Options{}, crowd())
			before(t, p, ns)
			if split := together(t, p, ns, clients, 1000); split > 0 {
				t.Errorf("%d of %d clients were split", split, clients)
			}
			c, err := p.Counters(t.Context())
			if err != nil || c.Entries != clients {
				t.Errorf("%d entries, %v; want %d", c.Entries, err, clients)
			}
			for _, reason := range []string{"table_full", "flow_evicted", "entry_evicted"} {
				if n := c.Drops[reason]; n.Packets != 0 {
					t.Errorf("%s counts %d", reason, n.Packets)
				}
			}
		})
	}
}

// A flow of a service without persistence begins on two CPUs at once, as when the
// network card spreads its first packets: both go to the same server, and it is one
// connection. Then its entry is void for both, and begins again.
func TestParallelFlow(t *testing.T) {
	const clients = 1500
	table := crowd(func(s *plan.L4Service) { s.Persistence = lb.Persistence{} })
	p, ns := testPlane(t, Options{}, table)
	same := func(worker, client int) []byte { return synFrame(uint32(client), 1000) }
	for range 2 {
		if split := race(t, p, ns, clients, same); split > 0 {
			t.Errorf("%d of %d flows were split", split, clients)
		}
		halved(&table.Services[0])
		if err := ns.Do(func() error { return p.Set(t.Context(), table) }); err != nil {
			t.Fatal(err)
		}
	}
	c, err := p.Counters(t.Context())
	if n := c.Services["media"].ActiveConns; err != nil || n != clients {
		t.Errorf("%d connections, want %d (%v)", n, clients, err)
	}
	if n := c.Services["media"].Conns; n > 2*clients {
		t.Errorf("%d connections were begun, want %d at most", n, 2*clients)
	}
}

// together has each worker use a port of its own for all clients.
func together(t *testing.T, p *Plane, ns *netns.NS, clients int, port uint16) (split int) {
	t.Helper()
	return race(t, p, ns, clients, func(worker, client int) []byte { return synFrame(uint32(client), port+uint16(worker)) })
}

// race sends packets of all clients from two threads in step and returns how many
// clients were not sent to one server.
func race(t *testing.T, p *Plane, ns *netns.NS, clients int, frame func(worker, client int) []byte) (split int) {
	t.Helper()
	const workers = 2
	var (
		ready atomic.Int64
		wg    sync.WaitGroup
		where [workers][][6]byte
	)
	for w := range workers {
		where[w] = make([][6]byte, clients)
		wg.Go(func() {
			err := ns.Do(func() error {
				for c := range clients {
					f := frame(w, c)
					ready.Add(1)
					for spins := 0; ready.Load() < int64(workers*(c+1)); spins++ {
						if spins > 1000 {
							runtime.Gosched() // the other one is not on a CPU
						}
					}
					for d := c % 64 * 64; c/64%workers == w && d > 0; d-- {
						ready.Load() // now this one is later, now the other, by up to some microseconds
					}
					ret, out, err := p.objs.Ingress.Test(f)
					if err != nil || ret != redirected {
						return fmt.Errorf("client %d: verdict %d, %w", c, int32(ret), err)
					}
					where[w][c] = [6]byte(out[:6])
				}
				return nil
			})
			if err != nil {
				t.Error(err)
				ready.Add(1 << 40) // let the others go
			}
		})
	}
	wg.Wait()
	for c := range clients {
		if where[0][c] != where[1][c] {
			split++
		}
	}
	return split
}
