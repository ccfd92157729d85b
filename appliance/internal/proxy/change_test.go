package proxy

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

func (r *rig) state(f plan.Frontend, server string, s lb.ServeState) {
	r.t.Helper()
	r.set(inState(f, server, s))
}

// inState is the frontend with one server in another state.
func inState(f plan.Frontend, server string, s lb.ServeState) plan.Frontend {
	f.Backends = slices.Clone(f.Backends)
	for i := range f.Backends {
		if f.Backends[i].Name == server {
			f.Backends[i].State = s
		}
	}
	return f
}

func TestHaltCuts(t *testing.T) {
	for _, state := range []lb.ServeState{lb.Halted, lb.Down} {
		t.Run(state.String(), func(t *testing.T) {
			greetAll(t, 2, 8080)
			r := newRig(t, Options{})
			f := vip(lb.Ports(8080), 2)
			r.set(f)
			a := dial(t, "127.0.2.1", "127.0.0.100:8080")
			b := dial(t, "127.0.2.2", "127.0.0.100:8080")
			first, second := a.server(), b.server()
			if first == second {
				t.Fatalf("both clients are on %s", first)
			}
			r.state(f, first, state)
			if err := a.fate(); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("session of the %s server ended with %v, want a reset", state, err)
			}
			b.echo("still here")
			if got := dial(t, "127.0.2.1", "127.0.0.100:8080").server(); got != second {
				t.Errorf("client came to %s, want %s", got, second)
			}
			got, _ := r.table.Lookup(time.Now(), "VIP1", netip.MustParseAddr("127.0.2.1"))
			if got != second {
				t.Errorf("entry names %s, want %s", got, second)
			}
			if n := r.proxy.Counters().Refused["server_cut"]; n != 1 {
				t.Errorf("cut sessions = %d, want 1", n)
			}
		})
	}
}

func TestDrain(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("persistent clients stay: %v", keep), func(t *testing.T) {
			greetAll(t, 2, 8080)
			r := newRig(t, Options{})
			f := vip(lb.Ports(8080), 2)
			f.DrainPersistent = keep
			r.set(f)
			old := dial(t, "127.0.2.1", "127.0.0.100:8080")
			drained := old.server()
			other := map[string]string{"s1": "s2", "s2": "s1"}[drained]
			r.state(f, drained, lb.Draining)
			old.echo("a flow of a draining server")
			want := other
			if keep {
				want = drained
			}
			if got := dial(t, "127.0.2.1", "127.0.0.100:8080").server(); got != want {
				t.Errorf("persistent client came to %s, want %s", got, want)
			}
			for i := range 4 {
				if got := dial(t, fmt.Sprintf("127.0.2.%d", i+10), "127.0.0.100:8080").server(); got != other {
					t.Errorf("new client came to %s, want %s", got, other)
				}
			}
			old.echo("and still")
		})
	}
}

func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	greetAll(t, 2, 8080, 8443, 8081)
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080, 8443), 2)
	g := vip(lb.Ports(8081), 2)
	g.Name, g.Addr = "VIP3", netip.MustParseAddr("127.0.0.101")
	r.set(f, g)
	kept := r.fds()
	onF := dial(t, "127.0.2.1", "127.0.0.100:8443")
	onG := dial(t, "127.0.2.1", "127.0.0.101:8081")
	onF.server()
	onG.server()

	r.set(f, g) // an equal second Set does nothing
	if diff := cmp.Diff(kept, r.fds()); diff != "" {
		t.Errorf("listeners after an equal Set (-want +got):\n%s", diff)
	}
	// One port leaves, one arrives, a server leaves, the scheduler changes.
	f.Ports, f.Scheduler, f.Backends = lb.Ports(8080, 8081), lb.RoundRobin, f.Backends[:1]
	r.set(f, g)
	now := r.fds()
	if _, ok := now["127.0.0.100:8443"]; ok || now["127.0.0.100:8081"] == 0 {
		t.Errorf("listeners = %v", now)
	}
	for _, at := range []string{"127.0.0.100:8080", "127.0.0.101:8081"} {
		if kept[at] != now[at] {
			t.Errorf("listener %s changed its descriptor from %d to %d", at, kept[at], now[at])
		}
	}
	onF.echo("session of the changed service")
	onG.echo("session of the unchanged service")
	if err := fate(t, "127.0.0.100:8443"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("port that left: %v, want refused", err)
	}
	if got := dial(t, "127.0.2.9", "127.0.0.100:8081").server(); got != "s1" {
		t.Errorf("reached %s, want s1", got)
	}
	// The whole service leaves: its session stays to the end.
	r.set(g)
	onF.echo("session of a service that left")
	if _, ok := r.proxy.Counters().Services["VIP1"]; ok {
		t.Error("a service that left is still counted")
	}
}

// fds lists the listeners' descriptors.
func (r *rig) fds() map[string]int {
	r.proxy.mu.Lock()
	defer r.proxy.mu.Unlock()
	out := map[string]int{}
	for at, l := range r.proxy.listeners {
		out[at.String()] = l.fd
	}
	return out
}

func TestFailingListenerLeavesOthersWorking(t *testing.T) {
	greetAll(t, 1, 8080)
	r := newRig(t, Options{})
	taken, err := listen(netip.MustParseAddrPort("127.0.0.100:8443"))
	if err != nil {
		t.Fatal(err)
	}
	f := vip(lb.Ports(8080, 8443), 1)
	table := plan.L7Table{Frontends: []plan.Frontend{f}}
	if err := r.proxy.Set(t.Context(), table); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("Set = %v, want address in use", err)
	}
	if got := dial(t, "", "127.0.0.100:8080").server(); got != "s1" {
		t.Errorf("the other port reached %s", got)
	}
	alone := vip(lb.Ports(8443), 1)
	var some *plan.UnservedError
	if err := r.proxy.Set(t.Context(), table); !errors.As(err, &some) || len(some.Addrs) != 0 {
		t.Errorf("Set = %v: the address answers at its other port", err)
	}
	other := vip(lb.Ports(8080), 1)
	other.Name, other.Addr = "VIP2", netip.MustParseAddr("127.0.0.101")
	table.Frontends = []plan.Frontend{alone, other}
	if err := r.proxy.Set(t.Context(), table); !errors.As(err, &some) || !slices.Equal(some.Addrs, []netip.Addr{alone.Addr}) {
		t.Errorf("Set = %v: only the address of the taken port has no answer", err)
	}
	if err := unix.Close(taken); err != nil {
		t.Fatal(err)
	}
	r.set(f) // tries again
	if got := len(r.fds()); got != 2 {
		t.Errorf("%d listeners, want 2", got)
	}
}

// TestSetLeavesNonsenseOut: a frontend that cannot be served gets no listener, and
// everybody else gets what the table says.
func TestSetLeavesNonsenseOut(t *testing.T) {
	twin, wide := vip(lb.Ports(8080), 2), vip(lb.PortSet{{First: 50000, Last: 65535}}, 2)
	twin.Name, wide.Name = "VIP2", "VIP2"
	for name, bad := range map[string]plan.Frontend{"one address for two services": twin, "too many ports": wide} {
		t.Run(name, func(t *testing.T) {
			greetAll(t, 2, 8080)
			r := newRig(t, Options{})
			f := vip(lb.Ports(8080), 2)
			r.set(f)
			before := r.fds()
			old := dial(t, "127.0.2.1", "127.0.0.100:8080")
			halted := old.server()
			halt := plan.L7Table{Frontends: []plan.Frontend{inState(f, halted, lb.Halted), bad}}
			if err := r.proxy.Set(t.Context(), halt); err == nil || !strings.Contains(err.Error(), "VIP2") {
				t.Errorf("Set = %v, want an error that names VIP2", err)
			}
			if err := old.fate(); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("session of the halted server ended with %v, want a reset", err)
			}
			for i := range 4 {
				if got := dial(t, fmt.Sprintf("127.0.2.%d", i+1), "127.0.0.100:8080").server(); got == halted {
					t.Errorf("a client came to %s, which is halted", got)
				}
			}
			if diff := cmp.Diff(before, r.fds()); diff != "" {
				t.Errorf("listeners (-before +after):\n%s", diff)
			}
		})
	}
}

// TestHaltInAFrontendWithoutListeners: a frontend that grew too wide loses its
// listeners; its sessions stay, and a halt still holds for them.
func TestHaltInAFrontendWithoutListeners(t *testing.T) {
	greetAll(t, 2, 8080)
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 2)
	r.set(f)
	a, b := dial(t, "127.0.2.1", "127.0.0.100:8080"), dial(t, "127.0.2.2", "127.0.0.100:8080")
	halted := a.server()
	b.server()
	f.Ports = lb.PortSet{{First: 8080, Last: 65535}}
	if err := r.proxy.Set(t.Context(), plan.L7Table{Frontends: []plan.Frontend{inState(f, halted, lb.Halted)}}); err == nil {
		t.Error("no error")
	}
	if got := r.fds(); len(got) != 0 {
		t.Errorf("listeners = %v, want none", got)
	}
	if err := a.fate(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("session of the halted server ended with %v, want a reset", err)
	}
	b.echo("still here")
}

func TestLimits(t *testing.T) {
	t.Run("service", func(t *testing.T) {
		greetAll(t, 1, 8080)
		r := newRig(t, Options{})
		f := vip(lb.Ports(8080), 1)
		f.Settings.MaxConns = 2
		r.set(f)
		a, b := dial(t, "", "127.0.0.100:8080"), dial(t, "", "127.0.0.100:8080")
		a.server()
		b.server()
		r.refuses("service_full")
		_ = a.Close()
		eventually(t, "a place is free", func() bool { return r.proxy.Counters().Sessions == 1 })
		dial(t, "", "127.0.0.100:8080").server()
	})
	t.Run("descriptors", func(t *testing.T) {
		greetAll(t, 1, 8080)
		r := newRig(t, Options{FDLimit: 8 + 4, Pipes: -1, Loops: 1}) // 4 sessions
		r.set(vip(lb.Ports(8080), 1))
		for range r.proxy.Counters().Capacity {
			dial(t, "", "127.0.0.100:8080").server()
		}
		r.refuses("fd_budget")
	})
	t.Run("server, with hysteresis", func(t *testing.T) {
		greetAll(t, 2, 8080)
		r := newRig(t, Options{})
		f := vip(lb.Ports(8080), 2)
		f.Persistence.Kind = lb.PersistNone
		f.Backends[0].MaxConns, f.Backends[0].MinConns = 3, 1
		f.Backends[1].Weight = 1 // s1 is preferred until it is full
		r.set(f)
		var on1 []*client
		for range 3 {
			c := dial(t, "", "127.0.0.100:8080")
			if got := c.server(); got != "s1" {
				t.Fatalf("reached %s, want s1", got)
			}
			on1 = append(on1, c)
		}
		expect := func(want string) {
			t.Helper()
			if got := dial(t, "", "127.0.0.100:8080").server(); got != want {
				t.Errorf("reached %s, want %s", got, want)
			}
		}
		active := func(n uint64) {
			t.Helper()
			eventually(t, fmt.Sprintf("%d sessions on s1", n), func() bool {
				return r.proxy.Counters().Services["VIP1"].Reals["s1"].ActiveConns == n
			})
		}
		expect("s2")
		_ = on1[0].Close()
		active(2)
		expect("s2") // below the maximum, but not back at the minimum
		_ = on1[1].Close()
		active(1)
		expect("s1")
	})
	t.Run("all servers", func(t *testing.T) {
		greetAll(t, 1, 8080)
		r := newRig(t, Options{})
		f := vip(lb.Ports(8080), 1)
		f.Persistence.Kind = lb.PersistNone
		f.Backends[0].MaxConns = 1
		r.set(f)
		dial(t, "", "127.0.0.100:8080").server()
		r.refuses("servers_full")
	})
}

// refuses expects the next connection to be reset for the reason.
func (r *rig) refuses(reason string) {
	r.t.Helper()
	before := r.proxy.Counters().Refused[reason]
	if err := fate(r.t, "127.0.0.100:8080"); !errors.Is(err, unix.ECONNRESET) {
		r.t.Errorf("connection ended with %v, want a reset", err)
	}
	eventually(r.t, "counted as "+reason, func() bool { return r.proxy.Counters().Refused[reason] == before+1 })
}

func TestCountersCountBytes(t *testing.T) {
	greetAll(t, 1, 8080)
	r := newRig(t, Options{})
	r.set(vip(lb.Ports(8080), 1))
	c := dial(t, "", "127.0.0.100:8080")
	c.server()
	c.echo("hello")
	_ = c.CloseWrite()
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Fatal(err)
	}
	eventually(t, "session over", func() bool { return r.proxy.Counters().Sessions == 0 })
	one := lb.RealCounters{In: lb.Counter{Bytes: 6}, Out: lb.Counter{Bytes: 8 + 6}, Conns: 1}
	want := lb.ServiceCounters{In: one.In, Out: one.Out, Conns: 1, Reals: map[string]lb.RealCounters{"s1": one}}
	if diff := cmp.Diff(want, r.proxy.Counters().Services["VIP1"]); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
}
