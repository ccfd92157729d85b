package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

func TestPersistenceAcrossPorts(t *testing.T) {
	greetAll(t, 2, 8080, 8443)
	r := newRig(t, Options{})
	r.set(vip(lb.Ports(8080, 8443), 2))
	seen := map[string]int{}
	for i := range 10 {
		from := fmt.Sprintf("127.0.2.%d", i+1)
		first := dial(t, from, "127.0.0.100:8080")
		// A blank port means the port that the client used.
		name := first.line()
		server := name[:2]
		if name != server+":8080" {
			t.Errorf("port 8080 reached %q", name)
		}
		if got := dial(t, from, "127.0.0.100:8443").line(); got != server+":8443" {
			t.Errorf("client %s: port 8443 reached %q, want %q", from, got, server+":8443")
		}
		seen[server]++
	}
	if diff := cmp.Diff(map[string]int{"s1": 5, "s2": 5}, seen); diff != "" {
		t.Errorf("clients per server (-want +got):\n%s", diff)
	}
}

func TestParallelFirstConnections(t *testing.T) {
	greetAll(t, 3, 8080)
	r := newRig(t, Options{})
	r.set(vip(lb.Ports(8080), 3))
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = map[string]int{}
	)
	for range 100 {
		wg.Go(func() {
			c, err := tryDial(t.Context(), "127.0.2.1", "127.0.0.100:8080")
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			name := make([]byte, 2)
			if _, err := io.ReadFull(c, name); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seen[string(name)]++
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("one client reached %v, want one server", seen)
	}
}

func TestRedispatch(t *testing.T) {
	// s1 refuses, s2 serves.
	greet(t, "s2:8080", "127.0.1.2:8080")
	r := newRig(t, Options{})
	r.set(vip(lb.Ports(8080), 2))
	for i := range 4 {
		from := fmt.Sprintf("127.0.2.%d", i+1)
		if got := dial(t, from, "127.0.0.100:8080").server(); got != "s2" {
			t.Errorf("reached %s, want s2", got)
		}
		got, _ := r.table.Lookup(time.Now(), "VIP1", netip.MustParseAddr(from))
		if got != "s2" {
			t.Errorf("entry of %s = %q, want s2", from, got)
		}
	}
	if got := r.proxy.Counters().Refused["connect_failed"]; got == 0 {
		t.Error("no failed connect was counted")
	}
}

func TestAllServersDown(t *testing.T) {
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 2)
	f.Backends[0].State, f.Backends[1].State = lb.Down, lb.Halted
	r.set(f)
	if err := fate(t, "127.0.0.100:8080"); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("fate = %v, want a reset", err)
	}
	eventually(t, "counted as no_server", func() bool { return r.proxy.Counters().Refused["no_server"] == 1 })
	if e := r.table.Export(time.Now()); len(e) != 0 {
		t.Errorf("entries = %v, want none", e)
	}
}

func TestHalfClose(t *testing.T) {
	t.Run("client first", func(t *testing.T) {
		serve(t, "127.0.1.1:8080", func(c *net.TCPConn) {
			body, err := io.ReadAll(c) // until the client's end
			if err != nil {
				t.Error(err)
			}
			_, _ = fmt.Fprintf(c, "got %d\n", len(body))
		})
		r := newRig(t, Options{})
		r.set(vip(lb.Ports(8080), 1))
		c := dial(t, "", "127.0.0.100:8080")
		if _, err := c.Write(make([]byte, 100_000)); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := c.line(); got != "got 100000" {
			t.Errorf("answer after half-close = %q", got)
		}
	})
	t.Run("server first", func(t *testing.T) {
		got := make(chan string, 1)
		serve(t, "127.0.1.1:8080", func(c *net.TCPConn) {
			_, _ = fmt.Fprintln(c, "bye")
			_ = c.CloseWrite()
			body, _ := io.ReadAll(c)
			got <- string(body)
		})
		r := newRig(t, Options{})
		r.set(vip(lb.Ports(8080), 1))
		c := dial(t, "", "127.0.0.100:8080")
		if err := c.fate(); err != nil {
			t.Fatalf("end of the server's stream: %v", err)
		}
		if _, err := c.Write([]byte("still here")); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if body := <-got; body != "still here" {
			t.Errorf("server read %q after its half-close", body)
		}
	})
}

func TestResetIsPropagated(t *testing.T) {
	fate := make(chan error, 1)
	serve(t, "127.0.1.1:8080", func(c *net.TCPConn) {
		_, err := io.Copy(io.Discard, c)
		fate <- err
	})
	serve(t, "127.0.1.1:8081", func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 1))
		_ = c.SetLinger(0)
	})
	r := newRig(t, Options{})
	r.set(vip(lb.Ports(8080, 8081), 1))

	c := dial(t, "", "127.0.0.100:8080")
	eventually(t, "established", func() bool { return r.proxy.Counters().Services["VIP1"].Conns == 1 })
	_ = c.SetLinger(0)
	_ = c.Close()
	if err := <-fate; !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("server saw %v, want a reset", err)
	}
	c = dial(t, "", "127.0.0.100:8081")
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := c.fate(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("client saw %v, want a reset", err)
	}
}

func TestTimeouts(t *testing.T) {
	greetAll(t, 1, 8080)
	r := newRig(t, Options{Loops: 1})
	f := vip(lb.Ports(8080), 1)
	f.Settings.IdleTimeout, f.Settings.FinTimeout = 2*time.Minute, time.Second
	r.set(f)
	c := dial(t, "", "127.0.0.100:8080")
	c.server()
	// A session with traffic outlives the timeout: it is about silence.
	for range 6 {
		r.age(time.Minute)
		c.echo("alive")
	}
	r.age(2 * time.Minute)
	if err := c.fate(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("idle session ended with %v, want a reset", err)
	}
	// And the same with a clock.
	f.Settings.IdleTimeout = 300 * time.Millisecond
	r.set(f)
	start := time.Now()
	if err := dial(t, "", "127.0.0.100:8080").fate(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("idle session ended with %v, want a reset", err)
	}
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("idle session ended after %v, want 300 ms", took)
	}
	if got := r.proxy.Counters().Refused["idle_timeout"]; got != 2 {
		t.Errorf("idle timeouts = %d, want 2", got)
	}
}

func TestConnectTimeout(t *testing.T) {
	// A server whose queue is full does not answer: the proxy goes to the next.
	blackhole(t, "127.0.1.1:8080")
	greet(t, "s2:8080", "127.0.1.2:8080")
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 2)
	f.Settings.ConnectTimeout = 2 * time.Second
	r.set(f)
	for i := range 2 {
		if got := dial(t, fmt.Sprintf("127.0.2.%d", i+1), "127.0.0.100:8080").server(); got != "s2" {
			t.Errorf("reached %s, want s2", got)
		}
	}
	if got := r.proxy.Counters().Refused["connect_failed"]; got == 0 {
		t.Error("no failed connect was counted")
	}
}

func TestIPv6(t *testing.T) {
	greet(t, "s1:8080", "[::1]:9090")
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 0)
	f.Addr = netip.MustParseAddr("fd00:94::100") // not ours yet
	f.Backends = []plan.Backend{{Name: "s1", Addr: netip.MustParseAddr("::1"), Port: 9090, Weight: 1}}
	r.set(f)
	own(t, "fd00:94::100/128")
	var c *client
	eventually(t, "the new address is reachable", func() bool {
		conn, err := tryDial(t.Context(), "fd00:94::100", "[fd00:94::100]:8080")
		if err != nil {
			return false
		}
		c = newClient(t, conn)
		return true
	})
	if got := c.server(); got != "s1" {
		t.Errorf("reached %s", got)
	}
	c.echo("hello")
	want := []lb.PersistenceEntry{{Service: "VIP1", Client: netip.MustParseAddr("fd00:94::"), Server: "s1"}}
	if diff := cmp.Diff(want, r.table.Export(time.Time{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestListensBeforeTheAddressArrives(t *testing.T) {
	greetAll(t, 1, 8080)
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 1)
	f.Addr = netip.MustParseAddr("10.94.0.100")
	r.set(f)
	if c, err := tryDial(t.Context(), "", "10.94.0.100:8080"); err == nil {
		_ = c.Close()
		t.Fatal("connected to an address that nobody owns")
	}
	own(t, "10.94.0.100/32")
	if got := dial(t, "", "10.94.0.100:8080").server(); got != "s1" {
		t.Errorf("reached %s", got)
	}
}

// own adds an address to the loopback of the test's namespace.
func own(t *testing.T, cidr string) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		t.Fatal(err)
	}
	addr.Flags = unix.IFA_F_NODAD
	if err := netlink.AddrAdd(lo, addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.AddrDel(lo, addr) })
}

func TestNoLeaks(t *testing.T) {
	greetAll(t, 2, 8080)
	r := newRig(t, Options{})
	r.set(vip(lb.Ports(8080), 2))
	dial(t, "", "127.0.0.100:8080").server()
	session := func() {
		c, err := tryDial(t.Context(), "", "127.0.0.100:8080")
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.ReadFull(c, make([]byte, 3))
		_ = c.Close()
	}
	before := testenv.OpenFDs(t)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			for range 100 {
				session()
			}
		})
	}
	wg.Wait()
	eventually(t, "one session left", func() bool { return r.proxy.Counters().Sessions == 1 })
	eventually(t, "descriptors as before", func() bool { return testenv.OpenFDs(t) <= before })
	if got := r.proxy.Counters().Services["VIP1"]; got.Conns != 1001 || got.ActiveConns != 1 {
		t.Errorf("counters = %+v, want 1001 connections, 1 active", got)
	}
}
