package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// The benchmark compares a connection through the proxy with a direct one, over
// the same hops, in one run:
//
//	client 10.94.0.10 ─┐
//	proxy  10.94.0.100 ─┼─ bridge
//	server 10.94.0.105 ─┘
//
// Each node is a process in a namespace of its own. Every round measures direct
// and proxied one after the other, in changing order; the metric is the median of
// the rounds' ratios. Run it with
//
//	go test -run '^$' -bench AgainstDirect -benchtime 7x ./appliance/internal/proxy
const (
	benchRole   = "VOSBED_PROXY_BENCH_ROLE"
	benchServer = "10.94.0.105"
	benchProxy  = "10.94.0.100"
	benchTime   = 300 * time.Millisecond

	portBulk  = 9001 // the server sends until the client leaves
	portKeep  = 9002 // requests and responses on one connection
	portClose = 9003 // one request and response per connection
	// plain is added to a port for the same service through a plain copy loop.
	plain = 100

	requestSize, responseSize = 120, 300
)

func BenchmarkAgainstDirect(b *testing.B) {
	lab := newLab(b)
	for _, load := range []struct {
		name  string
		port  int
		conns int
	}{
		{"goodput-1", portBulk, 1},
		{"goodput-4", portBulk, 4},
		{"keepalive-32", portKeep, 32},
		{"close-16", portClose, 16},
	} {
		for _, via := range []struct {
			name string
			port int
		}{{"proxy", load.port}, {"plain", load.port + plain}} {
			b.Run(load.name+"/"+via.name, func(b *testing.B) {
				var ratios, rates []float64
				proxied := func() float64 { return lab.measure(b, benchProxy, via.port, load.port, load.conns) }
				direct := func() float64 { return lab.measure(b, benchServer, load.port, load.port, load.conns) }
				for i := 0; b.Loop(); i++ {
					var p, d float64
					if i%2 == 0 {
						d, p = direct(), proxied()
					} else {
						p, d = proxied(), direct()
					}
					ratios, rates = append(ratios, p/d), append(rates, p)
				}
				slices.Sort(ratios)
				slices.Sort(rates)
				b.ReportMetric(ratios[len(ratios)/2], "ratio")
				b.ReportMetric(ratios[0], "ratio-min")
				b.ReportMetric(ratios[len(ratios)-1], "ratio-max")
				b.ReportMetric(rates[len(rates)/2], "per-s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// lab holds the three nodes.
type lab struct {
	client io.Writer
	answer *bufio.Reader
}

func newLab(b *testing.B) *lab {
	b.Helper()
	testenv.RequireRoot(b)
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	must(b, netlink.LinkAdd(br))
	must(b, netlink.LinkSetUp(br))
	b.Cleanup(func() { _ = netlink.LinkDel(br) })
	_, _ = startNode(b, br, "server", benchServer)
	_, _ = startNode(b, br, "proxy", benchProxy)
	in, out := startNode(b, br, "client", "10.94.0.10")
	return &lab{in, bufio.NewReader(out)}
}

// startNode starts this program in a role, in a new namespace with one interface,
// and waits until it says that it is ready.
func startNode(b *testing.B, br netlink.Link, role, addr string) (io.Writer, io.Reader) {
	b.Helper()
	ns, err := netns.New()
	must(b, err)
	b.Cleanup(func() { _ = ns.Close() })
	outer := "v-" + role
	must(b, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: outer}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns.Fd()),
	}))
	link, err := netlink.LinkByName(outer)
	must(b, err)
	must(b, netlink.LinkSetMaster(link, br))
	must(b, netlink.LinkSetUp(link))
	cmd := exec.CommandContext(b.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), benchRole+"="+role, "VOSBED_PROXY_BENCH_ADDR="+addr+"/24")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, ns.Do(cmd.Start))
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	ready := make([]byte, 6)
	if _, err := io.ReadFull(out, ready); err != nil || string(ready) != "ready\n" {
		b.Fatalf("start %s: %q, %v", role, ready, err)
	}
	return in, out
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// measure has the client run a load and returns bytes or requests per second.
func (l *lab) measure(b *testing.B, addr string, port, kind, conns int) float64 {
	b.Helper()
	_, err := fmt.Fprintln(l.client, addr, port, kind, conns)
	must(b, err)
	var rate float64
	_, err = fmt.Fscanln(l.answer, &rate)
	must(b, err)
	return rate
}

// play is the life of a node; it ends with its standard input.
func play(role string) error {
	if err := configure(os.Getenv("VOSBED_PROXY_BENCH_ADDR")); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch role {
	case "server":
		if err := benchServe(ctx); err != nil {
			return err
		}
	case "proxy":
		done, err := benchRunProxy(ctx)
		if err != nil {
			return err
		}
		defer func() {
			cancel()
			if err := <-done; err != nil {
				fmt.Fprintln(os.Stderr, "proxy:", err)
			}
		}()
	case "client":
		fmt.Println("ready")
		return benchClient(ctx)
	}
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func configure(cidr string) error {
	if err := loopbackUp(); err != nil {
		return err
	}
	eth, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(eth, addr); err != nil {
		return err
	}
	return netlink.LinkSetUp(eth)
}

func benchServe(ctx context.Context) error {
	zeros := make([]byte, 128<<10)
	return acceptAll(ctx, benchServer, 0, map[int]func(net.Conn, int){
		portBulk: func(c net.Conn, _ int) {
			for {
				if _, err := c.Write(zeros); err != nil {
					return
				}
			}
		},
		portKeep:  func(c net.Conn, _ int) { answer(c, -1) },
		portClose: func(c net.Conn, _ int) { answer(c, 1) },
	})
}

func answer(c net.Conn, times int) {
	req, resp := make([]byte, requestSize), make([]byte, responseSize)
	for ; times != 0; times-- {
		if _, err := io.ReadFull(c, req); err != nil {
			return
		}
		if _, err := c.Write(resp); err != nil {
			return
		}
	}
}

// acceptAll serves each port, moved by shift, with a goroutine per connection.
func acceptAll(ctx context.Context, addr string, shift int, handlers map[int]func(net.Conn, int)) error {
	for port, handle := range handlers {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("%s:%d", addr, port+shift))
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				go func() { defer c.Close(); handle(c, port) }()
			}
		}()
	}
	return nil
}

// benchRunProxy serves all ports through the proxy, persistence, limits and
// counters on, and again through a plain copy loop.
func benchRunProxy(ctx context.Context) (<-chan error, error) {
	p := New(Options{})
	f := plan.Frontend{
		Name: "bench", Addr: netip.MustParseAddr(benchProxy), Ports: lb.Ports(portBulk, portKeep, portClose),
		Persistence: lb.Persistence{Kind: lb.PersistSourceIP, Timeout: time.Minute, Mask4: 32, Mask6: 64},
		Settings:    lb.ProxySettings{MaxConns: 5000, Retries: 3},
		Backends:    []plan.Backend{{Name: "s1", Addr: netip.MustParseAddr(benchServer), Weight: 100, MaxConns: 5000}},
	}
	if err := p.Set(ctx, plan.L7Table{Frontends: []plan.Frontend{f}}); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	return done, acceptAll(ctx, benchProxy, plain, map[int]func(net.Conn, int){
		portBulk: plainCopy, portKeep: plainCopy, portClose: plainCopy,
	})
}

// plainCopy is the yardstick: two goroutines and io.CopyBuffer without splice.
func plainCopy(c net.Conn, port int) {
	s, err := new(net.Dialer).DialContext(context.Background(), "tcp", net.JoinHostPort(benchServer, fmt.Sprint(port)))
	if err != nil {
		return
	}
	defer s.Close()
	type bare struct{ io.Writer }
	type bareReader struct{ io.Reader }
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.CopyBuffer(bare{c}, bareReader{s}, make([]byte, 32<<10))
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.CopyBuffer(bare{s}, bareReader{c}, make([]byte, 32<<10))
	_ = s.(*net.TCPConn).CloseWrite()
	<-back
}

// benchClient runs one load per line of input: address, port, kind, connections.
func benchClient(ctx context.Context) error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var addr string
		var port, kind, conns int
		if _, err := fmt.Sscan(in.Text(), &addr, &port, &kind, &conns); err != nil {
			return err
		}
		rate, err := benchLoad(ctx, net.JoinHostPort(addr, fmt.Sprint(port)), kind, conns)
		if err != nil {
			return err
		}
		fmt.Println(rate)
	}
	return in.Err()
}

func benchLoad(ctx context.Context, to string, kind, conns int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, benchTime)
	defer cancel()
	var count atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[string]
	start := time.Now()
	for range conns {
		wg.Go(func() {
			if err := benchConn(ctx, to, kind, &count); err != nil && ctx.Err() == nil {
				text := err.Error()
				failed.Store(&text)
			}
		})
	}
	<-ctx.Done()
	n, took := count.Load(), time.Since(start)
	wg.Wait()
	if f := failed.Load(); f != nil {
		return 0, fmt.Errorf("load on %s: %s", to, *f)
	}
	return float64(n) / took.Seconds(), nil
}

// benchConn is one client: a connection that reads or asks until the time is up,
// or one connection after the other.
func benchConn(ctx context.Context, to string, kind int, count *atomic.Int64) error {
	buf := make([]byte, 256<<10)
	for ctx.Err() == nil {
		// The deadline of ctx is for the talk: a dial that it ends would look like a failure.
		c, err := new(net.Dialer).DialContext(context.WithoutCancel(ctx), "tcp", to)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
		err = benchTalk(c, kind, buf, count)
		stop()
		_ = c.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func benchTalk(c net.Conn, kind int, buf []byte, count *atomic.Int64) error {
	for {
		if kind == portBulk {
			n, err := c.Read(buf)
			if err != nil {
				return err
			}
			count.Add(int64(n))
			continue
		}
		if _, err := c.Write(buf[:requestSize]); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, buf[:responseSize]); err != nil {
			return err
		}
		count.Add(1)
		if kind == portClose {
			if _, err := c.Read(buf); !strings.HasSuffix(fmt.Sprint(err), "EOF") {
				return err
			}
			return nil
		}
	}
}
