package proxy

import (
	"bytes"
	"context"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// BenchmarkIdleSession tells what a session costs this process while nothing moves:
// bytes of Go heap and of resident memory, and descriptors, with persistence on and
// every session from a client of its own. What the kernel keeps for two sockets is
// not in it. Clients and server are bare descriptors of the same process and cost it
// no memory. Run it with
//
//	go test -run '^$' -bench IdleSession -benchtime 1x ./appliance/internal/proxy
func BenchmarkIdleSession(b *testing.B) {
	testenv.RequireRoot(b)
	const sessions = 3000
	for b.Loop() {
		b.StopTimer()
		heap, rss, fds := idleCost(b, sessions)
		b.ReportMetric(heap/sessions, "heap-B/session")
		b.ReportMetric(rss/sessions, "rss-B/session")
		b.ReportMetric(fds/sessions, "fds/session")
		b.ReportMetric(0, "ns/op")
		b.StartTimer()
	}
}

// idleCost opens n sessions and returns what they added.
func idleCost(b *testing.B, n int) (heap, rss, fds float64) {
	b.Helper()
	server, err := listen(netip.MustParseAddrPort("127.0.1.1:8080"))
	must(b, err)
	must(b, unix.SetNonblock(server, false))
	ends := []int{server}
	defer func() {
		for _, fd := range ends {
			_ = unix.Close(fd)
		}
	}()
	p := New(Options{Grace: -1})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	defer func() { cancel(); must(b, <-done); must(b, p.Close()) }()
	f := vip(lb.Ports(8080), 1)
	f.Backends[0].Addr = netip.MustParseAddr("127.0.1.1")
	must(b, p.Set(ctx, plan.L7Table{Frontends: []plan.Frontend{f}}))
	ends = append(make([]int, 0, 2*n+1), ends...)
	heap0, rss0, fds0 := held(b)
	for i := range n {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(b, err)
		ends = append(ends, client)
		must(b, unix.Bind(client, &unix.SockaddrInet4{Addr: [4]byte{127, 0, byte(8 + i>>8), byte(i)}}))
		must(b, unix.Connect(client, sockaddr(netip.MustParseAddrPort("127.0.0.100:8080"))))
		far, _, err := unix.Accept4(server, unix.SOCK_CLOEXEC)
		must(b, err)
		ends = append(ends, far)
	}
	waitFor(b, func() bool { return p.Counters().Services["VIP1"].Conns == uint64(n) })
	heap1, rss1, fds1 := held(b)
	return heap1 - heap0, rss1 - rss0, fds1 - fds0 - 2*float64(n)
}

func waitFor(b *testing.B, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			b.Fatal("the sessions were not established in time")
		}
	}
}

// held reads the bytes of live heap, the resident bytes and the open descriptors.
func held(b *testing.B) (heap, rss, fds float64) {
	b.Helper()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	statm, err := os.ReadFile("/proc/self/statm")
	must(b, err)
	pages, err := strconv.Atoi(string(bytes.Fields(statm)[1]))
	must(b, err)
	open, err := os.ReadDir("/proc/self/fd")
	must(b, err)
	return float64(m.HeapAlloc), float64(pages * os.Getpagesize()), float64(len(open))
}
