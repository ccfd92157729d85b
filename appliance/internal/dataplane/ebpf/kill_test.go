package ebpf

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/internal/testenv"
)

const (
	roleKey = "VOSBED_TEST_ROLE" // of a process that this test has started
	dirKey  = "VOSBED_TEST_BPFFS"
	modeKey = "VOSBED_TEST_ATTACH"
)

// A process that holds the plane is killed with kill -9 and another one takes over: a
// paced stream through the plane loses nothing. The test runs in a process with a mount
// namespace of its own, so the bpffs of the node ends with it.
func TestKilledProcessLosesNoPacket(t *testing.T) {
	switch os.Getenv(roleKey) {
	case "holder":
		holdPlane(t)
		return
	case "lab":
		killHolder(t)
		return
	}
	testenv.RequireRoot(t)
	for _, mode := range []Attach{AttachTCX, AttachClsact} {
		t.Run(string(mode), func(t *testing.T) {
			cmd := again(t.Context(), "lab", t.TempDir(), mode)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// again is this test in another process.
func again(ctx context.Context, role, dir string, mode Attach) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledProcessLosesNoPacket$", "-test.v")
	cmd.Env = append(os.Environ(), roleKey+"="+role, dirKey+"="+dir, modeKey+"="+string(mode))
	return cmd
}

// holdPlane holds the plane until its input ends, or rather: until it is killed.
func holdPlane(t *testing.T) {
	t.Helper()
	mode := Attach(os.Getenv(modeKey))
	p, err := New(Options{PinDir: os.Getenv(dirKey), Attach: mode, Flows: 4096, Entries: 4096})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Set(t.Context(), service(vip4)); err != nil {
		t.Fatal(err)
	}
	if name, _ := p.Engine(); name != string(mode) {
		t.Fatalf("attached by %s", name)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	fmt.Println("HOLDING")
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func killHolder(t *testing.T) {
	t.Helper()
	dir := os.Getenv(dirKey)
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	l := newLab(t)
	var got atomic.Uint64
	for i := range l.servers {
		l.count(i, vip4+":5004", &got)
	}
	first := l.holder(dir)
	s := l.stream(vip4 + ":5004")
	s.run(t, 300)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	s.run(t, 300)
	l.holder(dir)
	s.run(t, 300)
	sent := s.stop(t)
	eventually(t, "the last packets arrive", func() bool { return got.Load() >= sent })
	if got.Load() != sent || sent < 900 {
		t.Errorf("%d of %d packets arrived", got.Load(), sent)
	}
}

// holder starts a process that holds the plane and waits until it does.
func (l *lab) holder(dir string) *exec.Cmd {
	l.t.Helper()
	cmd := again(l.t.Context(), "holder", dir, Attach(os.Getenv(modeKey)))
	in, err := cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	l.in(l.lb, cmd.Start)
	l.t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == "HOLDING" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return cmd
		}
	}
	l.t.Fatal("the holder ended before it held the plane")
	return nil
}

// count counts the datagrams that come to a server.
func (l *lab) count(i int, addr string, n *atomic.Uint64) {
	l.t.Helper()
	var pc net.PacketConn
	l.in(l.servers[i], func() (err error) {
		pc, err = (&net.ListenConfig{}).ListenPacket(l.t.Context(), "udp", addr)
		return err
	})
	l.t.Cleanup(func() { _ = pc.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			if _, _, err := pc.ReadFrom(buf); err != nil {
				return
			}
			n.Add(1)
		}
	}()
}

// stream sends a datagram each millisecond from the client.
type stream struct {
	sent atomic.Uint64
	quit chan struct{}
	err  chan error
}

func (l *lab) stream(addr string) *stream {
	l.t.Helper()
	var c net.Conn
	l.in(l.client, func() (err error) {
		c, err = (&net.Dialer{}).DialContext(l.t.Context(), "udp", addr)
		return err
	})
	s := &stream{quit: make(chan struct{}), err: make(chan error, 1)}
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-s.quit:
				s.err <- c.Close()
				return
			case <-tick.C:
			}
			if _, err := c.Write(binary.BigEndian.AppendUint64(nil, s.sent.Load())); err != nil {
				s.err <- err
				return
			}
			s.sent.Add(1)
		}
	}()
	return s
}

// run lets the stream send n datagrams more.
func (s *stream) run(t *testing.T, n uint64) {
	t.Helper()
	goal := s.sent.Load() + n
	eventually(t, "the stream goes on", func() bool { return s.sent.Load() >= goal })
}

func (s *stream) stop(t *testing.T) uint64 {
	t.Helper()
	close(s.quit)
	if err := <-s.err; err != nil {
		t.Fatal(err)
	}
	return s.sent.Load()
}

// A server whose MAC is not known yet is reached by the kernel's neighbour table.
func TestUnresolvedServerGoesByNeighbourTable(t *testing.T) {
	for vip, rip := range map[string]string{vip4: "10.77.0.105", vip6: "fd77::105"} {
		t.Run(vip, func(t *testing.T) {
			l := newLab(t)
			addr := net.JoinHostPort(vip, "80")
			l.serve(0, addr)
			p := l.plane(Options{}) // not running: it learns no MAC
			l.set(p, service(vip, func(s *plan.L4Service) { s.Reals = s.Reals[:1] }))
			c, who, err := l.dial(addr)
			if err != nil || who != "s0" {
				t.Fatalf("answer from %q: %v", who, err)
			}
			defer c.Close()
			echo(t, c, "by the neighbour table")
			counters, err := p.Counters(t.Context())
			if err != nil || len(counters.MACs) != 0 || counters.Services["media"].In.Packets == 0 {
				t.Errorf("MACs %v, %d packets, %v: that was not the way of an unresolved server",
					counters.MACs, counters.Services["media"].In.Packets, err)
			}
			eventually(t, "the kernel has resolved it meanwhile", func() bool {
				return p.neighbour(netip.MustParseAddr(rip), p.hops[netip.MustParseAddr(rip)].ifindex) != [6]byte{}
			})
		})
	}
}
