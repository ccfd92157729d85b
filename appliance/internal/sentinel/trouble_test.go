package sentinel_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/internal/sentinel"
	"github.com/vosbed/vosbed/appliance/lb"
)

// TestNodeThatCannotSpeakDoesNotServe: without heartbeats it would be a second owner.
func TestNodeThatCannotSpeakDoesNotServe(t *testing.T) {
	l := newLab(t, defaultTimers())
	a := l.nodes[0]
	a.change = func(c *sentinel.Config) { c.Node.Name = strings.Repeat("x", 33) }
	a.start()
	l.until("the reason is told", func() bool { return a.says("1 to 32 bytes") })
	l.throughout("nothing is taken", 2*l.timers.Init, func() bool { return !a.owns() && !a.is(lb.Active)() })
}

// TestNodeWithoutItsLeaseDoesNotServe: its kernel would drop what it owns.
func TestNodeWithoutItsLeaseDoesNotServe(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.nodes[0], l.nodes[1]
	lease, away := filepath.Join(a.dir, "lease"), filepath.Join(a.dir, "away")
	l.must(os.Rename(lease, away))
	a.start()
	l.until("the reason is told", func() bool { return a.says("lease in " + a.dir) })
	l.throughout("nothing is taken", 2*l.timers.Init, func() bool { return !a.owns() && !a.handle.State().LeaseHeld })
	b.start()
	l.until("the peer serves", func() bool { return b.is(lb.Active)() && b.owns() && b.handle.State().PeerAlive })
	if err := a.handle.Command(t.Context(), sentinel.TakeOver); err == nil || !strings.Contains(err.Error(), "lease") {
		t.Errorf("a take-over without the lease: %v", err)
	}
	l.must(os.Rename(away, lease))
	l.until("all is well", func() bool { return len(a.handle.State().Problems) == 0 })
	l.must(a.handle.Command(t.Context(), sentinel.TakeOver))
	l.until("it serves", func() bool { return a.is(lb.Active)() && a.owns() && a.lease.held() && a.handle.State().LeaseHeld })
}

// TestThawedOwnerObeysNothingFromBefore: orders that waited while it was frozen meet a
// node that has looked again.
func TestThawedOwnerObeysNothingFromBefore(t *testing.T) {
	l := newLab(t, defaultTimers())
	a, b := l.pair()
	const another = "192.168.94.120"
	arrived := l.arrivals(a, another)
	a.quiet.Store(true) // signs of life would fill the socket
	a.signal(unix.SIGSTOP)
	answer := make(chan error, 1)
	go func() { answer <- a.handle.Command(context.Background(), sentinel.Announce) }()
	// Longer than a thread may need to get that far, and shorter than its patience.
	l.claimed(b)
	a.change = func(c *sentinel.Config) {
		c.VIPs = append(c.VIPs, plan.VIP{Addr: netip.MustParseAddr(another), Interface: "svc0"})
	}
	a.handle.Configure(a.config())
	l.claims()
	a.signal(unix.SIGCONT)
	a.quiet.Store(false)
	if err := <-answer; err == nil {
		t.Error("an order to announce was obeyed after the freeze")
	}
	l.until("the thawed node is passive", func() bool { return a.is(lb.Passive)() && a.handle.State().PeerRole == lb.Active && !a.owns() })
	if l.claimedBy(a) {
		t.Error("the thawed node announced itself")
	}
	if arrived() {
		t.Error("the thawed node took an address")
	}
}

// arrivals tells, whenever it is asked, whether a node's kernel has got an address
// since; others come by themselves.
func (l *lab) arrivals(n *node, ip string) (arrived func() bool) {
	l.t.Helper()
	updates, done := make(chan netlink.AddrUpdate, 64), make(chan struct{})
	l.must(n.ns.Do(func() error { return netlink.AddrSubscribe(updates, done) }))
	l.t.Cleanup(func() { close(done) })
	return func() bool {
		const last = "10.255.255.1" // nothing that came before is behind it
		l.must(n.ns.Do(func() error { return addr("lo", last+"/32") }))
		for got := false; ; {
			select {
			case u := <-updates:
				switch u.LinkAddress.IP.String() {
				case ip:
					got = got || u.NewAddr
				case last:
					return got
				}
			case <-time.After(patient):
				l.t.Fatal("the kernel's news do not arrive")
			}
		}
	}
}

// rekeyTimers outlast a stall, and end within a test.
func rekeyTimers() lb.HATimers {
	t := defaultTimers()
	t.Dead, t.Lease = 1400*time.Millisecond, 1300*time.Millisecond
	return t
}

// rekey gives a node another secret, as a reload does.
func (n *node) rekey(secret byte) {
	n.secret = secret
	n.handle.Configure(n.config())
}

// TestSecretsChangeOneByOne: however long the second node takes, there is one owner.
func TestSecretsChangeOneByOne(t *testing.T) {
	l := newLab(t, rekeyTimers())
	a, b := l.pair()
	term := a.handle.State().Term
	steady := func(d time.Duration) {
		t.Helper()
		l.throughout("one owner", d, func() bool {
			return a.is(lb.Active)() && b.is(lb.Passive)() && a.handle.State().PeerAlive && b.handle.State().PeerAlive
		})
	}
	long := l.timers.Dead + 500*time.Millisecond
	const former = "the former one is in use too"
	a.rekey('t')
	l.until("it is said", func() bool { return a.says(former) && b.says("pairing secrets differ") })
	steady(long)
	a.rekey('u') // once more, before the peer has followed
	steady(long)
	a.rekey('s') // back
	l.until("they agree again", func() bool { return !a.says(former) })
	b.rekey('v') // the passive one first
	l.until("it is said", func() bool { return b.says(former) })
	steady(long)
	a.rekey('v')
	l.until("they agree again", func() bool { return !a.says(former) && !b.says(former) })
	steady(long)
	if got := a.handle.State().Term; got != term {
		t.Errorf("new secrets cost %d take-overs", got-term)
	}
	// What both have left behind opens no door.
	b.kill()
	b.secret = 's'
	b.start()
	l.until("the former secret is a foreign one", func() bool {
		s := a.handle.State()
		return s.Paths[0].Rejected > 0 && !s.PeerAlive
	})
}

// TestMistakesOfPairingAreTold: each by its name, with what to do.
func TestMistakesOfPairingAreTold(t *testing.T) {
	tests := []struct {
		name   string
		change func(b *sentinel.Config)
		want   string
	}{
		{"one name for both", func(c *sentinel.Config) { c.Node.Name = "lb-primary" }, "node.name"},
		{"one role for both", func(c *sentinel.Config) { c.Node.Seat = lb.Primary }, "node.role"},
		{"another port", func(c *sentinel.Config) {
			for i, p := range c.Node.Paths {
				c.Node.Paths[i].Local = netip.AddrPortFrom(p.Local.Addr(), 6695)
			}
		}, "node.heartbeat"},
		{"another secret", func(c *sentinel.Config) { c.Secret[0]++ }, "pairing secrets differ"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, defaultTimers())
			a, b := l.nodes[0], l.nodes[1]
			b.change = tt.change
			a.start()
			b.start()
			l.until("it is told", func() bool { return a.says(tt.want) })
		})
	}
}

// TestSwitchoverWaitsForThePeer: nothing is offered before the peer is up to date, and
// nothing at all if it is not in time.
func TestSwitchoverWaitsForThePeer(t *testing.T) {
	l := newLab(t, longLease())
	flushed := make(chan error)
	l.nodes[0].flush = func(ctx context.Context) error {
		select {
		case err := <-flushed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	a, b := l.pair()
	l.must(a.handle.Command(t.Context(), sentinel.Release))
	flushed <- errors.New("behind")
	l.must(b.handle.Command(t.Context(), sentinel.TakeOver))
	l.throughout("not up to date", 700*time.Millisecond, func() bool { return a.is(lb.Active)() && b.is(lb.Passive)() })
	l.must(a.handle.Command(t.Context(), sentinel.Release))
	select {
	case flushed <- nil:
	case <-time.After(patient):
		t.Fatal("the peer was not brought up to date")
	}
	l.until("the roles are swapped", func() bool { return a.is(lb.Passive)() && b.is(lb.Active)() })
}
