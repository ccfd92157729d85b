package peer_test

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/override"
	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/lb"
)

// intent is a store as the appliance shares it.
type intent struct{ *override.Store }

func (i intent) Merge(_ context.Context, part []byte) error {
	_, err := i.Store.Merge(part)
	return err
}

func (e *end) overrides() *override.Store {
	e.t.Helper()
	s, err := override.Open(filepath.Join(e.t.TempDir(), "overrides.json"), e.cfg.Node)
	if err != nil {
		e.t.Fatal(err)
	}
	e.cfg.Documents = []peer.Document{{Name: "overrides", Face: intent{s}}}
	return s
}

func want(t *testing.T, s *override.Store, id lb.RealID, state lb.AdminState) {
	t.Helper()
	if err := s.Set(id, lb.Override{State: state}); err != nil {
		t.Fatal(err)
	}
}

// TestOperatorIntentReachesBothNodes goes through drains and halts on both nodes,
// together and apart.
func TestOperatorIntentReachesBothNodes(t *testing.T) {
	a, b := ends(t)
	sa, sb := a.overrides(), b.overrides()
	one, two := lb.RealID{Service: "traffic", Real: "HT1"}, lb.RealID{Service: "traffic", Real: "HT2"}
	has := func(s *override.Store, id lb.RealID, state lb.AdminState) func() bool {
		return func() bool { return s.All()[id].State == state }
	}
	want(t, sa, one, lb.Halt) // before the first connection
	a.start()
	b.start()
	until(t, "in sync", synced(a, b))
	if !has(sb, one, lb.Halt)() {
		t.Error("in sync without the operator's wish")
	}
	want(t, sb, two, lb.Drain)
	t.Logf("a drain took %v", until(t, "the other direction", has(sa, two, lb.Drain)))
	want(t, sb, one, lb.Online)
	until(t, "put online by the other node", has(sa, one, lb.Online))

	b.stop()
	until(t, "the loss is seen", func() bool { return !a.rep.Status().Connected })
	want(t, sa, two, lb.Halt) // b still has the drain
	want(t, sb, one, lb.Drain)
	b.start()
	until(t, "in sync again", synced(a, b))
	for _, s := range []*override.Store{sa, sb} {
		until(t, "the wish of the absence", has(s, two, lb.Halt))
		until(t, "and the other's", has(s, one, lb.Drain))
	}

	b.stop()
	until(t, "the loss is seen again", func() bool { return !a.rep.Status().Connected })
	sb = b.overrides() // its state is lost, and nothing is said anew
	b.start()
	until(t, "in sync with a new node", synced(a, b))
	until(t, "all that stands", func() bool { return has(sb, one, lb.Drain)() && has(sb, two, lb.Halt)() })
}

// TestBadDocumentCostsOnlyItself: a newer peer may send what this node cannot read.
func TestBadDocumentCostsOnlyItself(t *testing.T) {
	a, b := ends(t)
	a.cfg.Documents = []peer.Document{{Name: "overrides", Face: garbage{}}, {Name: "unknown to b", Face: garbage{}}}
	sb := b.overrides()
	a.table.put("10.0.0.1", "HT1", 0)
	a.start()
	b.start()
	until(t, "in sync all the same", synced(a, b))
	if b.table.server("10.0.0.1") != "HT1" || len(sb.Records()) > 0 {
		t.Error("the table must have come, the garbage must not")
	}
}

type garbage struct{}

func (garbage) Parts() ([][]byte, error)            { return [][]byte{[]byte("{")}, nil }
func (garbage) Merge(context.Context, []byte) error { return nil }
func (garbage) Changed() <-chan struct{}            { return nil }

// TestSilentStrangersDoNotKeepThePeerOut: connections from the peer's address that
// never finish a handshake.
func TestSilentStrangersDoNotKeepThePeerOut(t *testing.T) {
	a, b := ends(t)
	a.start()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: b.cfg.Local.Addr().AsSlice()}}
	for range 40 {
		until(t, "a connection", func() bool {
			c, err := d.DialContext(t.Context(), "tcp", a.cfg.Local.String())
			if err == nil {
				t.Cleanup(func() { _ = c.Close() })
			}
			return err == nil
		})
	}
	b.start()
	if took := until(t, "in sync", synced(a, b)); took > 2*time.Second {
		t.Errorf("the peer waited %v behind strangers", took)
	}
}

// TestNoMultipathTCP: Go's listeners have it on by default.
func TestNoMultipathTCP(t *testing.T) {
	a, b := ends(t)
	a.start()
	b.start()
	until(t, "in sync", synced(a, b))
	if n := listenersWithProtocol(t, a.cfg.Local, unix.IPPROTO_MPTCP); n > 0 {
		t.Errorf("%d MPTCP listeners", n)
	}
	if n := listenersWithProtocol(t, a.cfg.Local, unix.IPPROTO_TCP); n != 1 {
		t.Errorf("%d TCP listeners, want 1: the test looks in the wrong place", n)
	}
}

// listenersWithProtocol looks through this process's sockets.
func listenersWithProtocol(t *testing.T, at netip.AddrPort, protocol int) int {
	t.Helper()
	n := 0
	for fd := range 1024 {
		got, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		if err != nil || got != protocol {
			continue
		}
		listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		if err != nil || listening == 0 {
			continue
		}
		sa, err := unix.Getsockname(fd)
		if v4, ok := sa.(*unix.SockaddrInet4); err == nil && ok && netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), uint16(v4.Port)) == at {
			n++
		}
	}
	return n
}
