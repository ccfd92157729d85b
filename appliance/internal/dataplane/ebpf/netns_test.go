package ebpf

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

func TestTCPThroughDirectRouting(t *testing.T) {
	for _, mode := range []Attach{AttachTCX, AttachClsact} {
		for _, vip := range []string{vip4, vip6} {
			t.Run(string(mode)+"/"+vip, func(t *testing.T) {
				l := newLab(t)
				addr := net.JoinHostPort(vip, "80")
				for i := range l.servers {
					l.serve(i, addr)
				}
				p := l.plane(Options{Attach: mode})
				l.set(p, service(vip))
				c, who, err := l.dial(addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				bulk(t, c, 4<<20)
				for range 5 {
					again, same, dialErr := l.dial(addr)
					if dialErr != nil || same != who {
						t.Fatalf("the client moved from %s to %q: %v", who, same, dialErr)
					}
					_ = again.Close()
				}
				counters, err := p.Counters(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got := counters.Services["media"]
				if got.Conns != 6 || got.In.Bytes < 4<<20 || got.Reals[who].Conns != 6 {
					t.Errorf("counters %+v, want 6 connections and all bytes on %s", got, who)
				}
				if name, _ := p.Engine(); name != string(mode) {
					t.Errorf("engine %s, want %s", name, mode)
				}
			})
		}
	}
}

// bulk sends n bytes through the echo server: with segmentation offload on, as veth
// has it, only large packets survive at this speed.
func bulk(t *testing.T, c net.Conn, n int64) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.CopyN(c, zeros{}, n) }()
	if got, err := io.CopyN(io.Discard, c, n); err != nil {
		t.Fatalf("%d of %d bytes came back: %v", got, n, err)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestUDPAndFragments(t *testing.T) {
	for _, vip := range []string{vip4, vip6} {
		t.Run(vip, func(t *testing.T) {
			l := newLab(t)
			addr := net.JoinHostPort(vip, "5004")
			for i := range l.servers {
				l.serveUDP(i, addr)
			}
			p := l.plane(Options{})
			l.set(p, service(vip))
			first, err := l.ask(addr, make([]byte, 100))
			if err != nil {
				t.Fatal(err)
			}
			big, err := l.ask(addr, make([]byte, 9000))
			if err != nil {
				t.Fatalf("a datagram in seven fragments: %v", err)
			}
			if big != first[:2]+" 9000" {
				t.Errorf("answers %q and %q, want the same server and 9000 bytes", first, big)
			}
		})
	}
}

func TestPortNotServed(t *testing.T) {
	l := newLab(t)
	l.serve(0, vip4+":81")
	l.serve(1, vip4+":81")
	p := l.plane(Options{})
	l.set(p, service(vip4))
	if c, _, err := l.dial(vip4 + ":81"); err == nil {
		_ = c.Close()
		t.Fatal("a port outside the set was served")
	}
	if drops(t, p, "port_not_served") == 0 {
		t.Error("nothing counted as port_not_served")
	}
}

func TestAdoptionKeepsFlows(t *testing.T) {
	for _, mode := range []Attach{AttachTCX, AttachClsact} {
		t.Run(string(mode), func(t *testing.T) {
			l := newLab(t)
			dir := bpffs(t)
			for i := range l.servers {
				l.serve(i, vip4+":80")
			}
			first := l.plane(Options{Attach: mode, PinDir: dir})
			l.set(first, service(vip4))
			c, who, err := l.dial(vip4 + ":80")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			echo(t, c, "before")
			if err = first.Close(); err != nil {
				t.Fatal(err)
			}
			echo(t, c, "nobody home")
			second := l.plane(Options{Attach: mode, PinDir: dir})
			echo(t, c, "loaded")
			l.set(second, unchecked(service(vip4)))
			echo(t, c, "before the first checks")
			l.set(second, service(vip4))
			echo(t, c, "swapped")
			entries, err := second.Export(t.Context())
			if err != nil || len(entries) != 1 || entries[0].Server != who {
				t.Fatalf("adopted entries %v, %v; want one on %s", entries, err, who)
			}
			l.set(second, plan.L4Table{})
			if got, _, err := l.dial(vip4 + ":80"); err == nil {
				_ = got.Close()
				t.Error("an empty table still balances")
			}
		})
	}
}

// unchecked is the table of a daemon that has just started.
func unchecked(t plan.L4Table) plan.L4Table {
	t = cloned(t)
	for _, s := range t.Services {
		for i := range s.Reals {
			s.Reals[i].State = lb.Unchecked
		}
	}
	return t
}

func TestUncheckedServerTakesNobody(t *testing.T) {
	l := newLab(t)
	for i := range l.servers {
		l.serve(i, vip4+":80")
	}
	l.set(l.plane(Options{}), unchecked(service(vip4)))
	if c, _, err := l.dial(vip4 + ":80"); err == nil {
		_ = c.Close()
		t.Error("a server that no earlier daemon knew was used before its first check")
	}
}

func TestLeaseSilencesTheNode(t *testing.T) {
	for _, mode := range []Attach{AttachTCX, AttachClsact} {
		t.Run(string(mode), func(t *testing.T) { leaseSilences(t, mode) })
	}
}

func leaseSilences(t *testing.T, mode Attach) {
	t.Helper()
	l := newLab(t)
	for i := range l.servers {
		l.serve(i, vip4+":80")
	}
	p := l.plane(Options{Attach: mode})
	table := service(vip4)
	table.Leased = true
	l.set(p, table)
	if _, _, err := l.dial(vip4 + ":80"); err == nil {
		t.Fatal("served without a lease")
	}
	if err := p.lease.RenewFor(time.Hour); err != nil {
		t.Fatal(err)
	}
	c, _, err := l.dial(vip4 + ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echo(t, c, "held")
	before := drops(t, p, "lease_expired")
	p.lease.Renew(1)
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	_, _ = io.WriteString(c, "lost")
	if n, err := c.Read(make([]byte, 4)); err == nil {
		t.Errorf("%d bytes came back without a lease", n)
	}
	if drops(t, p, "lease_expired") == before {
		t.Error("nothing counted as lease_expired")
	}
	p.lease.Renew(^uint64(0))
	echoRest(t, c)
}

func echoRest(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	got := make([]byte, 4)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "lost" {
		t.Errorf("after renewal: %q, %v", got, err)
	}
}

func TestNeighboursAreLearned(t *testing.T) {
	l := newLab(t)
	for i := range l.servers {
		l.serve(i, vip4+":80")
	}
	p := l.plane(Options{})
	l.run(p)
	l.set(p, service(vip4, func(s *plan.L4Service) { s.Reals = s.Reals[:1] }))
	rip := netip.MustParseAddr("10.77.0.105")
	eventually(t, "the real server's MAC is known", func() bool {
		c, err := p.Counters(t.Context())
		return err == nil && c.MACs[rip] != ""
	})
	c, who, err := l.dial(vip4 + ":80")
	if err != nil || who != "s0" {
		t.Fatalf("answer from %q: %v", who, err)
	}
	_ = c.Close()
}

func TestStatesOfServers(t *testing.T) {
	l := newLab(t)
	for i := range l.servers {
		l.serve(i, vip4+":80")
	}
	p := l.plane(Options{})
	l.set(p, service(vip4))
	c, who, err := l.dial(vip4 + ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	state := func(st lb.ServeState) func(*plan.L4Service) {
		return func(s *plan.L4Service) { s.Reals[who[1]-'0'].State = st }
	}
	l.set(p, service(vip4, state(lb.Draining)))
	echo(t, c, "a flow outlives draining")
	next, other, err := l.dial(vip4 + ":80")
	if err != nil || other == who {
		t.Fatalf("a new flow of the client went to %q while draining: %v", other, err)
	}
	_ = next.Close()
	l.set(p, service(vip4, state(lb.Halted)))
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(c, "cut")
	if _, err := c.Read(make([]byte, 3)); err == nil {
		t.Error("a flow outlived a halt")
	}
}
