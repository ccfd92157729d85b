package sentinel

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/ha"
	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/lb"
)

func TestSleepIsNoticedOnce(t *testing.T) {
	l := &loop{}
	for _, step := range []struct {
		boot, mono time.Duration
		want       bool
	}{
		{100 * time.Second, 90 * time.Second, false}, // ten seconds of an earlier sleep
		{101 * time.Second, 91 * time.Second, false},
		{102 * time.Second, 92*time.Second + time.Millisecond, false}, // delayed between the readings
		{105 * time.Second, 93 * time.Second, true},
		{106 * time.Second, 94 * time.Second, false},
		{106*time.Second + 5*time.Millisecond, 94 * time.Second, true},
	} {
		if got := l.sleptBy(step.boot, step.mono); got != step.want {
			t.Errorf("at %v / %v: %t", step.boot, step.mono, got)
		}
	}
	awake := &loop{}
	for range 1000 {
		if awake.slept() {
			t.Fatal("awake all the time")
		}
	}
}

func TestFrozenDecisionsAreNotCarriedOut(t *testing.T) {
	l := &loop{}
	l.cfg.Cluster = lb.Cluster{Paired: true, Timers: lb.HATimers{Lease: 250 * time.Millisecond}}
	l.machine = ha.New(ha.Config{Paired: true, Timers: l.cfg.Cluster.Timers})
	const t0 = time.Hour
	claims := map[ha.Verb]bool{ha.TakeVIPs: true, ha.Announce: true, ha.SendHeartbeat: true}
	for verb := ha.SendHeartbeat; verb <= ha.StateChanged; verb++ {
		if l.tooLate(verb, t0, t0+250*time.Millisecond) {
			t.Errorf("%v refused within the lease", verb)
		}
		if got := l.tooLate(verb, t0, t0+251*time.Millisecond); got != claims[verb] {
			t.Errorf("%v after a freeze: too late is %t", verb, got)
		}
	}
	l.cfg.Cluster.Paired = false
	if l.tooLate(ha.TakeVIPs, t0, 2*t0) {
		t.Error("a node without a peer has no reason to wait")
	}
}

// A flood from the peer's address takes its share of a turn, not the turn.
func TestFloodEndsWithTheTurn(t *testing.T) {
	local, remote := freeUDP(t), freeUDP(t)
	path, err := peer.OpenPath(lb.HeartbeatPath{Name: "svc", Local: local, Peer: remote})
	if err != nil {
		t.Fatal(err)
	}
	defer path.Close()
	codec, err := peer.NewCodec(bytes.Repeat([]byte{1}, peer.MinSecret), "lb1", 1)
	if err != nil {
		t.Fatal(err)
	}
	from, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(remote), net.UDPAddrFromAddrPort(local))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for range perTurn + 10 {
		if _, err := from.Write(make([]byte, peer.HeartbeatLen)); err != nil {
			t.Fatal(err)
		}
	}
	l := &loop{conn: -1, paths: []*peer.Path{path}, codec: codec, reject: make([]rejects, 1), buf: make([]byte, 1024)}
	l.cfg.Node.Paths = []lb.HeartbeatPath{{Name: "svc"}}
	for _, want := range []uint64{perTurn, perTurn + 10} {
		l.readPath(0)
		if got := l.reject[0].count; got != want {
			t.Errorf("%d rejected after a turn, want %d", got, want)
		}
	}
}

func freeUDP(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

// A path whose port is still taken by an earlier sentinel opens when it is free.
func TestPathOpensLater(t *testing.T) {
	earlier, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer earlier.Close()
	l := &loop{}
	l.cfg = Config{Secret: bytes.Repeat([]byte{1}, peer.MinSecret)}
	l.cfg.Node = lb.Node{Name: "lb1", Paths: []lb.HeartbeatPath{{
		Name: "svc", Local: netip.MustParseAddrPort(earlier.LocalAddr().String()), Peer: freeUDP(t),
	}}}
	l.cfg.Cluster.Paired = true
	l.machine = ha.New(l.machineConfig())
	if err := l.reopenPaths(); err == nil || !l.missing {
		t.Fatalf("the port is taken: %v", err)
	}
	l.reopen(now() + reopenEvery)
	if l.paths[0] != nil || !l.missing {
		t.Fatal("opened a port that is taken")
	}
	if err := earlier.Close(); err != nil {
		t.Fatal(err)
	}
	l.reopen(now())
	if l.paths[0] != nil {
		t.Error("tried again too soon")
	}
	l.reopen(now() + 2*reopenEvery)
	if l.paths[0] == nil || l.missing {
		t.Fatal("did not try again")
	}
	if err := l.paths[0].Close(); err != nil {
		t.Error(err)
	}
}

// A sentinel that takes no messages costs the main daemon moments, and is replaced
// when it misses what it must know.
func TestFrozenSentinelDoesNotStopTheMainDaemon(t *testing.T) {
	conn, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if err := unix.SetsockoptInt(int(theirs.Fd()), unix.SOL_SOCKET, unix.SO_RCVBUF, 1); err != nil {
		t.Fatal(err)
	}
	h := New(Options{Logger: slog.New(slog.DiscardHandler)})
	h.attach(conn)
	began := time.Now()
	for range 600 {
		h.Progress()
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("600 signs of life took %v", took)
	}
	h.Configure(Config{})
	if _, err := conn.Write([]byte("{}")); err == nil {
		t.Error("a sentinel that missed its configuration must be replaced")
	}
}
