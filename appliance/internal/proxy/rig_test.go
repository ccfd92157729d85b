package proxy

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/internal/stick"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// patience bounds every wait of a test. It is generous, as are all times that must not
// pass: the machine may be busy, and the test may stand still for a second at any time.
const patience = time.Minute

// rig is a running proxy on loopback with real servers at 127.0.1.n.
type rig struct {
	t     *testing.T
	proxy *Proxy
	table *stick.Table
	// stop ends Run and waits for it.
	stop func()
}

func newRig(t *testing.T, o Options) *rig {
	t.Helper()
	testenv.RequireRoot(t)
	if o.Table == nil {
		o.Table = stick.New(stick.Options{})
	}
	o.Grace = cmp.Or(o.Grace, -1)
	r := &rig{t: t, proxy: New(o), table: o.Table}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.proxy.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		r.stop()
		if err := r.proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) set(fronts ...plan.Frontend) {
	r.t.Helper()
	if err := r.proxy.Set(r.t.Context(), plan.L7Table{Frontends: fronts}); err != nil {
		r.t.Fatal(err)
	}
}

// vip is a frontend at 127.0.0.100 with servers s1.. at 127.0.1.1..
func vip(ports lb.PortSet, servers int) plan.Frontend {
	f := plan.Frontend{
		Name: "VIP1", Addr: netip.MustParseAddr("127.0.0.100"), Ports: ports,
		Persistence: lb.Persistence{Kind: lb.PersistSourceIP, Timeout: time.Minute, Mask4: 32, Mask6: 64},
		Settings:    lb.ProxySettings{ConnectTimeout: patience, Retries: 3},
	}
	for i := range servers {
		f.Backends = append(f.Backends, plan.Backend{
			Name: fmt.Sprintf("s%d", i+1), Weight: 100,
			Addr: netip.AddrFrom4([4]byte{127, 0, 1, byte(i + 1)}),
		})
	}
	return f
}

// serve accepts at addr and hands every connection to handle, until the test ends.
func serve(t *testing.T, addr string, handle func(*net.TCPConn)) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	var mu sync.Mutex
	conns := map[net.Conn]bool{}
	open.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[c] = true
			mu.Unlock()
			open.Go(func() {
				defer func() { _ = c.Close(); mu.Lock(); delete(conns, c); mu.Unlock() }()
				handle(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		open.Wait()
	})
}

// greet serves a line with the server's name, then echoes.
func greet(t *testing.T, name, addr string) {
	t.Helper()
	serve(t, addr, func(c *net.TCPConn) {
		if _, err := fmt.Fprintln(c, name); err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.CloseWrite()
	})
}

// greetAll starts servers s1..sn on the ports.
func greetAll(t *testing.T, n int, ports ...int) {
	t.Helper()
	for i := range n {
		for _, p := range ports {
			greet(t, fmt.Sprintf("s%d:%d", i+1, p), fmt.Sprintf("127.0.1.%d:%d", i+1, p))
		}
	}
}

// client is one connection through the proxy.
type client struct {
	*net.TCPConn
	t *testing.T
	r *bufio.Reader
}

// dial connects from a client address, "" = any.
func dial(t *testing.T, from, to string) *client {
	t.Helper()
	c, err := tryDial(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, c)
}

// newClient bounds what the test does with the connection, and closes it at the end.
func newClient(t *testing.T, c *net.TCPConn) *client {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{c, t, bufio.NewReader(c)}
}

func tryDial(ctx context.Context, from, to string) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: patience}
	if from != "" {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	}
	c, err := d.DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// line reads one line.
func (c *client) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read a line from %v: %v", c.RemoteAddr(), err)
	}
	return strings.TrimSpace(s)
}

// server reads the greeting and returns the server's name without its port.
func (c *client) server() string {
	c.t.Helper()
	name, _, _ := strings.Cut(c.line(), ":")
	return name
}

// echo proves that the session works.
func (c *client) echo(word string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c, word); err != nil {
		c.t.Fatal(err)
	}
	if got := c.line(); got != word {
		c.t.Fatalf("echo = %q, want %q", got, word)
	}
}

// fate reads to the end and returns the error, nil for a proper end of file.
func (c *client) fate() error {
	_, err := io.Copy(io.Discard, c.r)
	return err
}

// fate connects and reports how that ends; a quick reset may already fail the dial.
func fate(t *testing.T, to string) error {
	t.Helper()
	c, err := tryDial(t.Context(), "", to)
	if err != nil {
		return err
	}
	defer c.Close()
	if err = c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, c)
	return err
}

// age makes every session look as if it had been silent for d longer, and its timer
// look at once: long times pass without waiting, and none passes by itself.
func (r *rig) age(d time.Duration) {
	for _, w := range r.proxy.workers {
		w.loop.Do(func() {
			for s := w.all.next; s != &w.all; {
				next := s.next
				s.last = s.last.Add(-d)
				s.tick()
				s = next
			}
		})
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("still not so: %s", what)
		case <-tick.C:
		}
	}
}
