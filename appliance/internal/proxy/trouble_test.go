package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// blackhole makes a listener at addr whose queue is full: it answers no SYN.
func blackhole(t *testing.T, addr string) {
	t.Helper()
	sa := sockaddr(netip.MustParseAddrPort(addr))
	open := func() int {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	full := open()
	if err := errors.Join(unix.SetsockoptInt(full, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.Bind(full, sa), unix.Listen(full, 0)); err != nil {
		t.Fatal(err)
	}
	waiting := open()
	if err := unix.Connect(waiting, sa); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		t.Fatal(err)
	}
	connected := []unix.PollFd{{Fd: int32(waiting), Events: unix.POLLOUT}}
	eventually(t, "the queue is full", func() bool { n, _ := unix.Poll(connected, 0); return n == 1 })
}

func TestHaltDuringConnect(t *testing.T) {
	blackhole(t, "127.0.1.1:8080")
	greet(t, "s2:8080", "127.0.1.2:8080")
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 2)
	f.Settings.ConnectTimeout = 2 * patience
	f.Backends[1].Weight = 1 // s1 comes first
	r.set(f)
	c := dial(t, "127.0.2.1", "127.0.0.100:8080")
	eventually(t, "connecting to s1", func() bool {
		return r.proxy.Counters().Services["VIP1"].Reals["s1"].ActiveConns == 1
	})
	r.state(f, "s1", lb.Halted)
	if got := c.server(); got != "s2" {
		t.Errorf("reached %s, want s2", got)
	}
	if got, _ := r.table.Lookup(time.Now(), "VIP1", netip.MustParseAddr("127.0.2.1")); got != "s2" {
		t.Errorf("the entry names %s, want s2", got)
	}
}

// TestQueuedSessionSeesTheHalt starts a session that was accepted before a server was
// halted and reaches its loop only afterwards.
func TestQueuedSessionSeesTheHalt(t *testing.T) {
	greetAll(t, 2, 8080)
	r := newRig(t, Options{Loops: 1})
	f := vip(lb.Ports(8080), 2)
	f.Backends[1].Weight = 1 // s1 comes first
	r.set(f)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[1])
	w, svc := r.proxy.workers[0], r.proxy.services["VIP1"]
	old := svc.view.Load()
	if why := r.proxy.admit(svc, old); why != 0 {
		t.Fatal(why)
	}
	s := &session{w: w, svc: svc, view: old, peer: netip.MustParseAddrPort("127.0.2.1:1"), port: 8080}
	s.client.FD, s.server.FD = pair[0], -1
	w.loop.Load().Add(1)
	r.state(f, "s1", lb.Halted)
	w.loop.Do(func() {
		s.start()
		if s.to == nil || s.to.Name != "s2" {
			t.Errorf("the session went to %v, want s2", s.to)
		}
	})
}

func TestClientsOfADownServerMoveTogether(t *testing.T) {
	greetAll(t, 3, 8080)
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 3)
	r.set(f)
	first := dial(t, "127.0.2.1", "127.0.0.100:8080").server()
	r.state(f, first, lb.Down)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for range 50 {
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
	if len(seen) != 1 || seen[first] != 0 {
		t.Errorf("the client of %s, which is down, reached %v; want one other server", first, seen)
	}
	got, _ := r.table.Lookup(time.Now(), "VIP1", netip.MustParseAddr("127.0.2.1"))
	if seen[got] != 50 {
		t.Errorf("the entry names %s", got)
	}
}

// TestEarlyAnswerSurvivesTheReset: a server that answers and closes without reading
// the request resets the connection behind its answer. The client must get both.
func TestEarlyAnswerSurvivesTheReset(t *testing.T) {
	for _, upload := range []int{10, 4 << 20} {
		t.Run(fmt.Sprint(upload), func(t *testing.T) {
			ask, closed := make(chan struct{}), make(chan struct{})
			serve(t, "127.0.1.1:8080", func(c *net.TCPConn) {
				defer close(closed)
				_, _ = io.ReadFull(c, make([]byte, 1))
				<-ask
				_, _ = fmt.Fprintln(c, "too large")
				_ = c.Close() // with unread input: answer and RST
			})
			r := newRig(t, Options{Loops: 1})
			r.set(vip(lb.Ports(8080), 1))
			c := dial(t, "", "127.0.0.100:8080")
			go func() { _, _ = c.Write(make([]byte, upload)) }()
			eventually(t, "the upload has arrived or stands", func() bool {
				n := r.proxy.Counters().Services["VIP1"].In.Bytes
				return n >= uint64(min(upload, 64<<10))
			})
			// The loop sees answer and reset at once.
			r.proxy.workers[0].loop.Do(func() { close(ask); <-closed })
			if got := c.line(); got != "too large" {
				t.Errorf("answer = %q", got)
			}
			if err := c.fate(); !errors.Is(err, unix.ECONNRESET) {
				t.Errorf("then %v, want a reset", err)
			}
		})
	}
}

// TestDeadClient takes the client's network away: nothing is sent any more, and the
// session must still end.
func TestDeadClient(t *testing.T) {
	serve(t, "127.0.1.1:8080", func(c *net.TCPConn) {
		_, err := io.Copy(c, c)
		if err == nil {
			t.Error("the server saw a proper end, want a reset")
		}
	})
	own(t, "10.94.7.1/32")
	r := newRig(t, Options{Loops: 1})
	r.set(vip(lb.Ports(8080), 1))
	c := dial(t, "10.94.7.1", "127.0.0.100:8080")
	c.echo("hello")
	// The times of the product are a minute and more: here a second. What is asked
	// for is read first.
	r.proxy.workers[0].loop.Do(func() {
		fd := r.proxy.workers[0].all.next.client.FD
		for _, o := range listenerOptions(unix.AF_INET) {
			if o.name == unix.IP_FREEBIND && o.level == unix.SOL_IP {
				continue // not inherited
			}
			if got, err := unix.GetsockoptInt(fd, o.level, o.name); err != nil || got != o.value {
				t.Errorf("option %d/%d of an accepted socket = %d, %v; want %d", o.level, o.name, got, err, o.value)
			}
		}
		for name, value := range map[int]int{unix.TCP_KEEPIDLE: 1, unix.TCP_KEEPINTVL: 1, unix.TCP_KEEPCNT: 1, unix.TCP_USER_TIMEOUT: 1000} {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, name, value); err != nil {
				t.Error(err)
			}
		}
	})
	disown(t, "10.94.7.1/32")
	eventually(t, "the dead client's session is over", func() bool { return r.proxy.Counters().Sessions == 0 })
}

// disown takes an address away: what is sent to it finds no way.
func disown(t *testing.T, cidr string) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrDel(lo, addr); err != nil {
		t.Fatal(err)
	}
}

// TestSetUnderLoad changes everything that can change while clients come and go. The
// race detector and the counts at the end are the judges.
func TestSetUnderLoad(t *testing.T) {
	greetAll(t, 3, 8080, 8443)
	r := newRig(t, Options{Loops: 2})
	f := vip(lb.Ports(8080), 3)
	r.set(f)
	var done atomic.Bool
	var served atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := 0; !done.Load(); n++ {
				c, err := tryDial(t.Context(), fmt.Sprintf("127.0.2.%d", (i*31+n)%200+1), "127.0.0.100:8080")
				if err != nil {
					continue
				}
				if _, err := io.ReadFull(c, make([]byte, 3)); err == nil {
					served.Add(1)
				}
				_ = c.Close()
			}
		})
	}
	states := []lb.ServeState{lb.Serving, lb.Draining, lb.Down, lb.Halted}
	for i := range 100 {
		g := f
		g.Backends = append([]plan.Backend(nil), f.Backends...)
		g.Backends[i%3].State = states[i%4]
		if i%5 == 0 {
			g.Ports = lb.Ports(8080, 8443)
		}
		g.DrainPersistent = i%2 == 0
		r.set(g)
		_ = r.proxy.Counters()
		if i%20 == 0 {
			before := served.Load()
			eventually(t, "clients are served", func() bool { return served.Load() > before })
		}
	}
	done.Store(true)
	wg.Wait()
	eventually(t, "no session is left", r.empty)
}

// TestBulkStarvesNobody runs a bulk transfer and a talk on one loop.
func TestBulkStarvesNobody(t *testing.T) {
	greetAll(t, 1, 8080)
	serve(t, "127.0.1.1:8081", func(c *net.TCPConn) {
		zeros := make([]byte, 256<<10)
		for {
			if _, err := c.Write(zeros); err != nil {
				return
			}
		}
	})
	r := newRig(t, Options{Loops: 1})
	r.set(vip(lb.Ports(8080, 8081), 1))
	talk := dial(t, "", "127.0.0.100:8080")
	talk.server()
	bulk := dial(t, "", "127.0.0.100:8081")
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, bulk.TCPConn, make([]byte, 256<<10)) })
	moved := func() uint64 { return r.proxy.Counters().Services["VIP1"].Out.Bytes }
	eventually(t, "bulk flows", func() bool { return moved() > 64<<20 })
	const words = 50
	before, during := moved(), uint64(0)
	for range words {
		during += r.bulkDuring(talk, "word")
	}
	eventually(t, "the bulk transfer goes on", func() bool { return moved() > before+64<<20 })
	_ = bulk.Close()
	wg.Wait()
	// Each word waits for at most a few turns of the bulk session of 2 MiB.
	if most := uint64(words * 64 << 20); during > most {
		t.Errorf("%d MiB passed during %d words: the talk waits too long", during>>20, words)
	}
}

// bulkDuring sends a word on the session to port 8080 and returns the bytes that the one
// to port 8081 moved until the word was handed on. The loop itself writes and looks:
// how long anybody else is kept waiting does not count.
func (r *rig) bulkDuring(talk *client, word string) uint64 {
	r.t.Helper()
	w := r.proxy.workers[0]
	passed := make(chan uint64, 1)
	w.loop.Do(func() {
		sessions := map[uint16]*session{}
		for s := w.all.next; s != &w.all; s = s.next {
			sessions[s.port] = s
		}
		words, bulk := sessions[8080], sessions[8081]
		if words == nil || bulk == nil {
			r.t.Error("a session is gone")
			passed <- 0
			return
		}
		up, down := words.upBytes, bulk.downBytes
		var look func()
		look = func() {
			if words.upBytes > up || words.over || bulk.over {
				passed <- bulk.downBytes - down
				return
			}
			w.loop.Again(look)
		}
		w.loop.Again(look)
		if _, err := fmt.Fprintln(talk, word); err != nil {
			r.t.Error(err)
		}
	})
	during := <-passed
	if got := talk.line(); got != word {
		r.t.Errorf("echo = %q, want %q", got, word)
	}
	return during
}
