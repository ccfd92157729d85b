package sentinel

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/ha"
	"github.com/vosbed/vosbed/appliance/internal/peer"
	"github.com/vosbed/vosbed/appliance/internal/vip"
	"github.com/vosbed/vosbed/appliance/lb"
)

// listen gives a loop a socket and returns what reads the notes that it has sent.
func listen(t *testing.T, l *loop) (notes func() []string) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.Close(fds[0]), unix.Close(fds[1]) })
	l.conn = fds[0]
	return func() (out []string) {
		buf := make([]byte, maxMessage)
		for {
			n, _, err := unix.Recvfrom(fds[1], buf, unix.MSG_DONTWAIT)
			if err != nil {
				return out
			}
			m, err := decode(buf[:n])
			if err != nil {
				t.Fatal(err)
			}
			if m.Note != nil {
				out = append(out, m.Note.Text+m.Note.Err)
			}
		}
	}
}

func pairConfig() Config {
	return Config{
		Secret: bytes.Repeat([]byte{1}, peer.MinSecret),
		Node:   lb.Node{Name: "lb1", Paths: []lb.HeartbeatPath{{Name: "svc"}, {Name: "sync"}}},
		Cluster: lb.Cluster{Paired: true, Announce: true, Lease: true, Timers: lb.HATimers{
			Heartbeat: 100 * time.Millisecond, Dead: 300 * time.Millisecond, Lease: 250 * time.Millisecond,
		}},
	}
}

// One mistake of pairing is one line in the log, however often it shows.
func TestRejectsAreToldOnce(t *testing.T) {
	l := &loop{cfg: pairConfig(), reject: make([]rejects, 2)}
	notes := listen(t, l)
	for range 100 {
		l.rejected(0, peer.ErrKey)
		l.rejected(0, peer.ErrReplayed) // nobody's mistake
		l.rejected(1, errForeign)
	}
	got := notes()
	if len(got) != 2 || !strings.Contains(got[0], "path svc: the pairing secrets differ") || !strings.Contains(got[1], "path sync") {
		t.Errorf("told %q", got)
	}
	if l.reject[0].count != 200 || l.reject[1].count != 100 {
		t.Errorf("counted %d and %d", l.reject[0].count, l.reject[1].count)
	}
	at := now()
	if p := l.problems(at); len(p) != 2 || p[0] != got[0] {
		t.Errorf("the problems are %q", p)
	}
	if p := l.problems(at + rejectLasts); len(p) != 0 {
		t.Errorf("past rejects are still problems: %q", p)
	}
	l.reject[0].seen[peer.ErrKey] -= rejectQuiet
	l.rejected(0, peer.ErrKey)
	l.rejected(0, peer.ErrReflected)
	if got := notes(); len(got) != 2 {
		t.Errorf("after a quiet time told %q", got)
	}
}

// What a node may do that was frozen since it decided: nothing. There are no addresses
// here that it could touch.
func TestFrozenNodeTouchesNoAddress(t *testing.T) {
	l := &loop{cfg: pairConfig(), vips: &vip.Actuator{}}
	listen(t, l)
	l.machine = ha.New(l.machineConfig())
	l.step(ha.Start{LeaseHeld: false}, 0)
	for !l.machine.Owns() {
		l.step(ha.Tick{}, l.machine.Wake())
	}
	l.vips = nil
	l.fire(now())
	l.reassert(now())
	if l.announce(now()); l.refused == "" {
		t.Error("announced")
	}
}

// A configuration by which the node could not speak ends the process before anything of
// it is adopted, and so does one that it gets later.
func TestNoMachineWithoutACodec(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"long name":    func(c *Config) { c.Node.Name = strings.Repeat("x", 33) },
		"short secret": func(c *Config) { c.Secret = c.Secret[1:] },
	} {
		t.Run(name, func(t *testing.T) {
			l := &loop{}
			notes := listen(t, l)
			c := pairConfig()
			spoil(&c)
			if err := l.configure(c); err == nil || l.machine != nil || l.vips != nil {
				t.Errorf("went on: %v", err)
			}
			if got := notes(); len(got) != 1 {
				t.Errorf("told %q", got)
			}
		})
	}
}

// The codec of the former secret lives until the peer is heard by the new one, and is
// the one by which the peer could be heard last.
func TestFormerSecret(t *testing.T) {
	secret := func(b byte) Config {
		c := pairConfig()
		c.Secret = bytes.Repeat([]byte{b}, peer.MinSecret)
		return c
	}
	l := &loop{}
	steps := []struct {
		c    Config
		want byte // the former secret's, 0 = none
	}{
		{secret(1), 0},
		{secret(2), 1},
		{secret(3), 1}, // the peer has not followed to 2
		{secret(3), 1}, // another path, say
		{secret(1), 0}, // back
		{secret(4), 1},
		{Config{Node: lb.Node{Name: "lb1"}}, 0}, // no pair
		{secret(5), 0},
	}
	for i, s := range steps {
		if err := l.rekey(s.c); err != nil {
			t.Fatal(err)
		}
		l.cfg = s.c
		var got byte
		if l.former != nil {
			got = l.formerSecret[0]
		}
		if got != s.want || (l.codec != nil) != s.c.Cluster.Paired {
			t.Errorf("step %d: the former secret is %d, want %d", i, got, s.want)
		}
	}
	again := secret(7)
	again.Former = secret(6).Secret
	l = &loop{} // started again while the peer has the former secret
	if err := l.rekey(again); err != nil || l.former == nil || l.formerSecret[0] != 6 {
		t.Errorf("a sentinel that starts again forgets the former secret (%v)", err)
	}
	if err := l.rekey(Config{Cluster: lb.Cluster{Paired: true}}); err == nil {
		t.Error("no secret at all was taken")
	}
}
