package proxy

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
)

func TestOutOfDescriptors(t *testing.T) {
	greetAll(t, 1, 8080)
	r := newRig(t, Options{Loops: 1})
	r.set(vip(lb.Ports(8080), 1))
	first := dial(t, "127.0.2.1", "127.0.0.100:8080")
	server := first.server()
	var waiting []int
	for range 3 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		waiting = append(waiting, fd)
	}
	release := exhaust(t)
	for _, fd := range waiting {
		if err := unix.Connect(fd, sockaddr(netip.MustParseAddrPort("127.0.0.100:8080"))); err != nil && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("connect: %v", err)
		}
		if _, err := unix.Read(fd, make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.ENOTCONN) {
			t.Errorf("read: %v, want a reset", err)
		}
	}
	first.echo("sessions that are there go on")
	release()
	if n := r.proxy.Counters().Refused["fd_budget"]; n != 3 {
		t.Errorf("refused for fd_budget = %d, want 3", n)
	}
	if got := dial(t, "127.0.2.1", "127.0.0.100:8080").server(); got != server {
		t.Errorf("then reached %s, want %s", got, server)
	}
}

// exhaust leaves the process without a free descriptor until release is called.
func exhaust(t *testing.T) (release func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = 200
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var held []int
	for {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if errors.Is(err, unix.EMFILE) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, fd)
	}
	release = sync.OnceFunc(func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(release)
	return release
}

// TestLocalShortageMovesNobody: a connect that fails for want of a descriptor is no
// fault of the server, and its clients must not leave it.
func TestLocalShortageMovesNobody(t *testing.T) {
	greetAll(t, 2, 8080)
	r := newRig(t, Options{Loops: 1})
	r.set(vip(lb.Ports(8080), 2))
	server := dial(t, "127.0.2.1", "127.0.0.100:8080").server()
	waiting, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(waiting)
	if err = unix.Bind(waiting, sockaddr(netip.MustParseAddrPort("127.0.2.1:0"))); err != nil {
		t.Fatal(err)
	}
	spare, err := unix.Eventfd(0, unix.EFD_CLOEXEC) // what accept will take
	if err != nil {
		t.Fatal(err)
	}
	release := exhaust(t)
	_ = unix.Close(spare)
	if err := unix.Connect(waiting, sockaddr(netip.MustParseAddrPort("127.0.0.100:8080"))); err != nil && !errors.Is(err, unix.ECONNRESET) {
		t.Error(err)
	}
	eventually(t, "counted as fd_budget", func() bool { return r.proxy.Counters().Refused["fd_budget"] == 1 })
	release()
	if n := r.proxy.Counters().Refused["connect_failed"]; n != 0 {
		t.Errorf("%d connects are held against servers", n)
	}
	if got := dial(t, "127.0.2.1", "127.0.0.100:8080").server(); got != server {
		t.Errorf("the client moved from %s to %s", server, got)
	}
}

// TestPortShortageMovesNobody: with every source port towards a server in use its
// clients must not leave it, and it has failed nobody.
func TestPortShortageMovesNobody(t *testing.T) {
	for name, o := range map[string]Options{
		"source by route": {},
		"source by name":  {Sources: []netip.Addr{netip.MustParseAddr("127.0.3.5")}},
	} {
		t.Run(name, func(t *testing.T) {
			greetAll(t, 2, 8080)
			r := newRig(t, o)
			r.set(vip(lb.Ports(8080), 2))
			server := dial(t, "127.0.2.1", "127.0.0.100:8080").server()
			release := narrowPorts(t, 2)
			// Clients name their ports, as the range is for them too.
			from := netip.MustParseAddrPort("127.0.2.1:20000")
			refused := 0
			for range 3 {
				from = netip.AddrPortFrom(from.Addr(), from.Port()+1)
				name, err := reach(t, from, "127.0.0.100:8080")
				switch {
				case errors.Is(err, unix.ECONNRESET):
					refused++
				case err != nil || name != server:
					t.Errorf("reached %q, %v; want %s", name, err, server)
				}
			}
			if n := r.proxy.Counters().Refused; refused == 0 || n["no_port"] != uint64(refused) || n["connect_failed"] != 0 {
				t.Errorf("%d were refused, counted %v", refused, n)
			}
			// Ports are shared between servers: those of the other one are all free.
			name, err := reach(t, netip.MustParseAddrPort("127.0.2.2:20000"), "127.0.0.100:8080")
			if err != nil || name == server {
				t.Errorf("a new client reached %q, %v; want the other server", name, err)
			}
			release()
			if got := dial(t, "127.0.2.1", "127.0.0.100:8080").server(); got != server {
				t.Errorf("the client moved from %s to %s", server, got)
			}
		})
	}
}

// narrowPorts leaves the kernel n ports to choose from until release is called.
func narrowPorts(t *testing.T, n int) (release func()) {
	t.Helper()
	const path, first = "/proc/sys/net/ipv4/ip_local_port_range", 50_000
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	set := func(text []byte) {
		if err := os.WriteFile(path, text, 0); err != nil {
			t.Fatal(err)
		}
	}
	set(fmt.Appendf(nil, "%d %d", first, first+n-1))
	release = sync.OnceFunc(func() { set(old) })
	t.Cleanup(release)
	return release
}

// reach connects from a client's address and port and returns the server's name. The
// connection stays to the end of the test and is then reset: its port is free at once.
func reach(t *testing.T, from netip.AddrPort, to string) (string, error) {
	t.Helper()
	d := net.Dialer{Timeout: patience, LocalAddr: net.TCPAddrFromAddrPort(from)}
	conn, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		return "", err
	}
	c := newClient(t, conn.(*net.TCPConn))
	if err = c.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	name, err := c.r.ReadString('\n')
	name, _, _ = strings.Cut(name, ":")
	return name, err
}
