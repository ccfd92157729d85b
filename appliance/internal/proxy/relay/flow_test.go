package relay

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// socket pairs of TCP are what splice needs: near is the test's end, far the relay's.
func tcpPair(t *testing.T) (near, far int) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return fdOf(t, c.(*net.TCPConn)), fdOf(t, s.(*net.TCPConn))
}

// fdOf takes a non-blocking copy of the descriptor out of the runtime's hands.
func fdOf(t *testing.T, c *net.TCPConn) int {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err = errors.Join(err, f.Close(), c.Close(), unix.SetNonblock(fd, true)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// wait returns once one of the descriptors is ready for its events.
func wait(t *testing.T, fds ...unix.PollFd) {
	t.Helper()
	n, err := unix.Poll(fds, 10_000)
	if err != nil && !errors.Is(err, unix.EINTR) || n == 0 {
		t.Fatalf("nothing is ready: %v", err)
	}
}

func TestFlowCarriesEverythingInEveryMode(t *testing.T) {
	for name, pipes := range map[string]int{"splice": 4, "copy": 0} {
		t.Run(name, func(t *testing.T) {
			data := make([]byte, 24<<20)
			if _, err := rand.NewChaCha8([32]byte{7}).Read(data); err != nil {
				t.Fatal(err)
			}
			in, src := tcpPair(t)
			out, dst := tcpPair(t)
			s := NewScratch(NewPipes(pipes))
			defer s.Close()
			var f Flow
			a, b := End{FD: src}, End{FD: dst}
			rest, got := data, sha256.New()
			buf := make([]byte, 1<<20)
			for end := false; !end; {
				if n, err := unix.Write(in, rest); err == nil {
					rest = rest[n:]
				}
				if len(rest) == 0 {
					_ = unix.Shutdown(in, unix.SHUT_WR)
				}
				a.Readable, a.Closed, b.Writable = true, true, true
				_, outcome := f.Move(s, &a, &b)
				switch outcome {
				case Broken:
					t.Fatal("the flow broke")
				case Finished:
					_ = unix.Shutdown(dst, unix.SHUT_WR)
				case Waiting, More:
				}
				for {
					n, err := unix.Read(out, buf)
					if err != nil {
						break
					}
					if n == 0 {
						end = true
						break
					}
					got.Write(buf[:n])
				}
				if !end {
					wait(t, unix.PollFd{Fd: int32(out), Events: unix.POLLIN}, unix.PollFd{Fd: int32(src), Events: unix.POLLIN})
				}
			}
			if want := sha256.Sum256(data); !bytes.Equal(want[:], got.Sum(nil)) {
				t.Error("what came out is not what went in")
			}
			// Pipes come back to the scratch space when they are empty.
			if spliced := len(s.idle) > 0; spliced != (pipes > 0) {
				t.Errorf("spliced = %v with %d pipes", spliced, pipes)
			}
		})
	}
}

func TestSlowReceiverHoldsLittle(t *testing.T) {
	in, src := tcpPair(t)
	_, dst := tcpPair(t)
	s := NewScratch(NewPipes(0))
	var f Flow
	a, b := End{FD: src}, End{FD: dst}
	junk := make([]byte, 1<<20)
	for range 1000 {
		_, _ = unix.Write(in, junk)
		a.Readable, b.Writable = true, true
		if _, out := f.Move(s, &a, &b); out == Waiting && len(f.held) > 0 {
			break
		}
	}
	if len(f.held) == 0 || len(f.held) > BufferSize {
		t.Fatalf("the flow holds %d bytes, want 1 to %d", len(f.held), BufferSize)
	}
	if !a.Readable {
		t.Error("the source was read although the destination is full")
	}
	f.Release(s)
	if f.held != nil || f.buf != nil {
		t.Error("Release left something behind")
	}
}

func TestBrokenDestination(t *testing.T) {
	in, src := tcpPair(t)
	out, dst := tcpPair(t)
	_ = unix.SetsockoptLinger(out, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err := unix.Shutdown(out, unix.SHUT_RDWR); err != nil {
		t.Fatal(err)
	}
	s := NewScratch(NewPipes(0))
	var f Flow
	a, b := End{FD: src}, End{FD: dst}
	for range 100 {
		if _, err := unix.Write(in, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		wait(t, unix.PollFd{Fd: int32(src), Events: unix.POLLIN})
		a.Readable, b.Writable = true, true
		if _, outcome := f.Move(s, &a, &b); outcome == Broken {
			return
		}
	}
	t.Error("writes to a closed peer never broke the flow")
}
