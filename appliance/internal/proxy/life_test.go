package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// mute serves connections that it never says anything on, until the test ends.
func mute(t *testing.T, addr string) {
	t.Helper()
	serve(t, addr, func(c *net.TCPConn) { <-t.Context().Done(); _ = c.SetLinger(0) })
}

func TestFinTimeout(t *testing.T) {
	mute(t, "127.0.1.1:8080")
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 1)
	f.Settings.IdleTimeout, f.Settings.FinTimeout = time.Minute, 150*time.Millisecond
	r.set(f)
	c := dial(t, "", "127.0.0.100:8080")
	eventually(t, "established", func() bool { return r.proxy.Counters().Services["VIP1"].Conns == 1 })
	start := time.Now()
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := c.fate(); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("half-closed session ended with %v, want a reset", err)
	}
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("it ended after %v, want 150 ms", took)
	}
	if n := r.proxy.Counters().Refused["idle_timeout"]; n != 1 {
		t.Errorf("idle timeouts = %d, want 1", n)
	}
}

func TestHalfClosedDownloadOutlivesFinTimeout(t *testing.T) {
	more := make(chan struct{})
	serve(t, "127.0.1.1:8080", func(c *net.TCPConn) {
		_, _ = io.Copy(io.Discard, c) // to the client's end
		for {
			select {
			case _, ok := <-more:
				if !ok {
					return
				}
				_, _ = c.Write([]byte("x"))
			case <-t.Context().Done():
				return
			}
		}
	})
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 1)
	f.Settings.FinTimeout = 2 * time.Minute
	r.set(f)
	c := dial(t, "", "127.0.0.100:8080")
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		more <- struct{}{}
		if _, err := c.r.ReadByte(); err != nil {
			t.Fatal(err)
		}
		r.age(time.Minute)
	}
	close(more)
	if err := c.fate(); err != nil {
		t.Errorf("the download ended with %v, want a proper end", err)
	}
}

// TestLongSessionKeepsItsEntry: an open session is used, however silent it is.
func TestLongSessionKeepsItsEntry(t *testing.T) {
	greetAll(t, 2, 8080)
	r := newRig(t, Options{})
	f := vip(lb.Ports(8080), 2)
	f.Persistence.Timeout = 3 * time.Second
	r.set(f)
	c := dial(t, "127.0.2.1", "127.0.0.100:8080")
	server := c.server()
	start := time.Now()
	entry := func() (server string, used time.Time, ok bool) {
		now := time.Now()
		for _, e := range r.table.Export(now) {
			return e.Server, now.Add(-e.Idle), true
		}
		return "", time.Time{}, false
	}
	eventually(t, "the silent session has refreshed its entry past the timeout", func() bool {
		name, used, ok := entry()
		if !ok || name != server {
			t.Fatalf("after %v of silence the entry is %q, want %q", time.Since(start), name, server)
		}
		return used.Sub(start) > f.Persistence.Timeout
	})
	_ = c.Close()
	eventually(t, "the entry has expired", func() bool { _, _, ok := entry(); return !ok })
}

func TestSchedulersSpread(t *testing.T) {
	for _, c := range []struct {
		scheduler lb.Scheduler
		weights   []int
		want      []string
	}{
		{lb.RoundRobin, []int{1, 1, 1}, []string{"s1", "s2", "s3", "s1", "s2", "s3"}},
		{lb.RoundRobin, []int{3, 1}, []string{"s1", "s1", "s2", "s1", "s1", "s1", "s2", "s1"}},
		{lb.RoundRobin, []int{0, 1}, []string{"s2", "s2"}},
	} {
		t.Run(fmt.Sprint(c.scheduler, c.weights), func(t *testing.T) {
			greetAll(t, len(c.weights), 8080)
			r := newRig(t, Options{})
			r.set(weighted(c.scheduler, c.weights))
			var got []string
			for range c.want {
				got = append(got, dial(t, "", "127.0.0.100:8080").server())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("servers in turn (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("least connections by weight", func(t *testing.T) {
		greetAll(t, 3, 8080)
		r := newRig(t, Options{})
		r.set(weighted(lb.WLC, []int{3, 2, 1}))
		got := map[string]int{}
		for range 18 {
			got[dial(t, "", "127.0.0.100:8080").server()]++
		}
		if diff := cmp.Diff(map[string]int{"s1": 9, "s2": 6, "s3": 3}, got); diff != "" {
			t.Errorf("sessions per server (-want +got):\n%s", diff)
		}
	})
}

// weighted is a frontend without persistence.
func weighted(s lb.Scheduler, weights []int) plan.Frontend {
	f := vip(lb.Ports(8080), len(weights))
	f.Persistence.Kind, f.Scheduler = lb.PersistNone, s
	for i, w := range weights {
		f.Backends[i].Weight = w
	}
	return f
}

func TestSources(t *testing.T) {
	own(t, "fd00:94::5/128")
	tell := func(c *net.TCPConn) {
		_, _ = fmt.Fprintln(c, netip.MustParseAddrPort(c.RemoteAddr().String()).Addr())
	}
	serve(t, "127.0.1.1:8080", tell)
	serve(t, "[::1]:8081", tell)
	r := newRig(t, Options{Sources: []netip.Addr{netip.MustParseAddr("127.0.3.5"), netip.MustParseAddr("fd00:94::5")}})
	six := vip(lb.Ports(8081), 1)
	six.Name, six.Backends[0].Addr = "VIP2", netip.MustParseAddr("::1")
	r.set(vip(lb.Ports(8080), 1), six)
	for to, want := range map[string]string{"127.0.0.100:8080": "127.0.3.5", "127.0.0.100:8081": "fd00:94::5"} {
		if got := dial(t, "", to).line(); got != want {
			t.Errorf("%s: the server saw %s, want %s", to, got, want)
		}
	}
}

func TestGrace(t *testing.T) {
	t.Run("sessions may end", func(t *testing.T) {
		greetAll(t, 1, 8080)
		r := newRig(t, Options{Grace: patience})
		r.set(vip(lb.Ports(8080), 1))
		c := dial(t, "", "127.0.0.100:8080")
		c.server()
		start := time.Now()
		stopped := make(chan struct{})
		go func() { r.stop(); close(stopped) }()
		eventually(t, "no new connections", func() bool {
			late, err := tryDial(t.Context(), "", "127.0.0.100:8080")
			if err == nil {
				_ = late.Close()
			}
			return errors.Is(err, unix.ECONNREFUSED)
		})
		c.echo("still served")
		_ = c.CloseWrite()
		if err := c.fate(); err != nil {
			t.Errorf("the session ended with %v, want a proper end", err)
		}
		<-stopped
		if took := time.Since(start); took > patience/2 {
			t.Errorf("Run waited %v although no session was left", took)
		}
	})
	t.Run("the rest is cut", func(t *testing.T) {
		greetAll(t, 1, 8080)
		r := newRig(t, Options{Grace: 200 * time.Millisecond})
		r.set(vip(lb.Ports(8080), 1))
		c := dial(t, "", "127.0.0.100:8080")
		c.server()
		start := time.Now()
		r.stop()
		if took := time.Since(start); took < 200*time.Millisecond || took > patience/2 {
			t.Errorf("Run ended after %v, want 200 ms", took)
		}
		if err := c.fate(); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("the session ended with %v, want a reset", err)
		}
		if n := r.proxy.Counters().Sessions; n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

func TestSessionLine(t *testing.T) {
	var log bytes.Buffer
	greetAll(t, 1, 8080)
	r := newRig(t, Options{Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	r.set(vip(lb.Ports(8080), 1))
	c := dial(t, "127.0.2.1", "127.0.0.100:8080")
	c.server()
	c.echo("hello")
	_ = c.CloseWrite()
	if err := c.fate(); err != nil {
		t.Fatal(err)
	}
	r.stop()
	var got map[string]any
	if err := json.Unmarshal(log.Bytes(), &got); err != nil {
		t.Fatalf("want one line: %v in\n%s", err, log.String())
	}
	if ns, _ := got["duration"].(float64); ns <= 0 {
		t.Errorf("duration = %v", got["duration"])
	}
	delete(got, "time")
	delete(got, "duration")
	want := map[string]any{
		"level": "DEBUG", "msg": "session ended", "vip": "VIP1", "client": c.LocalAddr().String(), "port": 8080.,
		"rip": "s1", "in_bytes": 6., "out_bytes": 8. + 6., "why": "closed",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}

// empty reports whether every count and list of sessions is at nought.
func (r *rig) empty() bool {
	left := int64(r.proxy.Counters().Sessions + r.proxy.Counters().Services["VIP1"].ActiveConns)
	for _, w := range r.proxy.workers {
		w.loop.Do(func() {
			if w.all.next != &w.all {
				left++
			}
			left += w.loop.Load().Load()
		})
	}
	return left == 0
}

// TestNothingIsLeft goes through every way a session can end and looks for what
// remains of it.
func TestNothingIsLeft(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	fds := testenv.OpenFDs(t)
	t.Run("sessions", func(t *testing.T) {
		greetAll(t, 1, 8080)
		serve(t, "127.0.1.1:8082", func(c *net.TCPConn) { _ = c.SetLinger(0) }) // resets
		r := newRig(t, Options{Loops: 2})
		f := vip(lb.Ports(8080, 8081, 8082), 1) // nobody serves 8081
		f.Settings.Retries = 0
		r.set(f)
		before := testenv.OpenFDs(t)
		for range 50 {
			for _, end := range []func(*net.TCPConn) error{(*net.TCPConn).Close, (*net.TCPConn).CloseWrite, func(c *net.TCPConn) error { return c.SetLinger(0) }} {
				for _, port := range []int{8080, 8081, 8082} {
					c, err := tryDial(t.Context(), "", fmt.Sprintf("127.0.0.100:%d", port))
					if err != nil {
						continue // reset already
					}
					_ = end(c)
					_ = c.Close()
				}
			}
		}
		// Connections that the kernel took are still to be accepted: a count of nought may
		// come before the last of them.
		eventually(t, "nothing is left", func() bool { return r.empty() && testenv.OpenFDs(t) <= before })
	})
	eventually(t, "goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "descriptors as before", func() bool { return testenv.OpenFDs(t) <= fds })
}
