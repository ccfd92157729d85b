package health

import (
	"context"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// TestHungServersPileNothingUp checks servers that accept and hang, in every stage of a
// check, again and again: no check outlives its timeout, whatever it waits for.
func TestHungServersPileNothingUp(t *testing.T) {
	const each = 10 // watches of every kind of server
	goroutines, fds := runtime.NumGoroutine(), testenv.OpenFDs(t)
	t.Run("checks", func(t *testing.T) {
		var probes []plan.Probe
		for _, s := range []struct {
			scheme lb.Scheme
			says   string // before it trickles
		}{
			{lb.HTTP, ""},
			{lb.HTTPS, ""},
			{lb.HTTP, "HTTP/1.1 200 OK\r\nX-Trickle: "},
			{lb.HTTP, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"},
		} {
			addr := trickleServer(t, s.says)
			for range each {
				p := probeOf(len(probes))
				p.Target, p.Port = addr.Addr(), addr.Port()
				p.Check = guideProbe(addr).Check
				p.Check.Scheme, p.Check.Interval, p.Check.Timeout = s.scheme, 20*time.Millisecond, 100*time.Millisecond
				probes = append(probes, p)
			}
		}
		e := New(Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		set(t, e, probes...)
		var routines, open int // at most, at any time
		eventually(t, "every server was checked many times", func() bool {
			routines, open = max(routines, runtime.NumGoroutine()-goroutines), max(open, testenv.OpenFDs(t)-fds)
			return fewest(e.Snapshot()) == historyLen
		})
		// The servers' ends of the connections are in this process too, and may be closed
		// a moment later. One thing left behind by each check would make 20 per watch.
		if most := 8 * len(probes); routines > most || open > most {
			t.Errorf("%d goroutines and %d descriptors for %d checks, want %d at most", routines, open, len(probes), most)
		}
		for id, h := range e.Snapshot() {
			if h.Up {
				t.Errorf("%v is up: %+v", id, h.Last)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "descriptors as before", func() bool { return testenv.OpenFDs(t) <= fds })
}

// trickleServer says a text to everybody who connects and then one byte now and then,
// or nothing ever if the text is empty.
func trickleServer(t *testing.T, says string) netip.AddrPort {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer context.AfterFunc(t.Context(), func() { _ = c.Close() })()
				trickle(c, says)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); open.Wait() })
	return addrPort(t, l.Addr())
}

// trickle serves one connection until the client has left.
func trickle(c net.Conn, says string) {
	defer c.Close()
	if says == "" {
		_, _ = io.Copy(io.Discard, c)
		return
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for _, err := io.WriteString(c, says); err == nil; <-tick.C {
		_, err = io.WriteString(c, "x")
	}
}

// fewest is the length of the shortest history.
func fewest(all map[lb.RealID]lb.Health) int {
	n := historyLen
	for _, h := range all {
		n = min(n, len(h.History))
	}
	return n
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("still not so: %s", what)
		case <-tick.C:
		}
	}
}
