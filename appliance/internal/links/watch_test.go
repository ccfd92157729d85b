package links

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/internal/testenv"
)

// picture is what a call of changed finds.
type picture struct {
	links []plan.Link
	up    bool // eth0
}

func look(t *testing.T) picture {
	t.Helper()
	all, err := List()
	if err != nil {
		t.Error(err)
	}
	l, err := netlink.LinkByName("eth0")
	return picture{all, err == nil && l.Attrs().Flags&net.FlagUp != 0}
}

// eth0 is the interface of the test, absent = zero.
func (p picture) eth0() plan.Link {
	i := slices.IndexFunc(p.links, func(l plan.Link) bool { return l.Name == "eth0" })
	if i < 0 {
		return plan.Link{}
	}
	return p.links[i]
}

// TestWatchTellsOfEveryChange makes changes of every kind; each must be told although
// nothing is looked at untold.
func TestWatchTellsOfEveryChange(t *testing.T) {
	ns := testenv.NewNS(t)
	goroutines, fds := runtime.NumGoroutine(), testenv.OpenFDs(t)
	ctx, cancel := context.WithCancel(t.Context())
	calls, done := make(chan picture, 100), make(chan error, 1)
	go func() {
		// The thread is in the namespace for as long as Watch runs, and so is changed.
		done <- ns.Do(func() error {
			return watch(ctx, subscribe, time.Hour, func() {
				select {
				case calls <- look(t):
				case <-ctx.Done():
				}
			})
		})
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch ended with %v", err)
		}
	})
	t.Cleanup(stop)
	await := func(what string, ok func(picture) bool) {
		t.Helper()
		deadline := time.After(time.Minute)
		for {
			select {
			case p := <-calls:
				if ok(p) {
					return
				}
			case <-deadline:
				t.Fatalf("not told: %s", what)
			}
		}
	}
	await("it listens", func(p picture) bool { return len(p.links) == 1 })
	var eth0 netlink.Link
	inside(t, ns, func() (err error) { eth0, err = plugged("eth0"); return err })
	await("a new interface that is up", func(p picture) bool { return p.up })
	inside(t, ns, func() error { return address(eth0, "192.0.2.10/24") })
	await("an address", func(p picture) bool { return slices.Contains(p.eth0().Prefixes, prefixes("192.0.2.0/24")[0]) })
	inside(t, ns, func() error { return address(eth0, "2001:db8::10/64") })
	await("an IPv6 address", func(p picture) bool { return len(p.eth0().Prefixes) == 2 })
	inside(t, ns, func() error { return defaultVia(eth0, "192.0.2.1") })
	await("a default route", func(p picture) bool { return p.eth0().Default })
	inside(t, ns, func() error { return netlink.LinkSetDown(eth0) })
	await("an interface taken down", func(p picture) bool { return p.eth0().Name != "" && !p.up })
	inside(t, ns, func() error { return netlink.LinkDel(eth0) })
	await("an interface that is gone", func(p picture) bool { return p.eth0().Name == "" })

	stop()
	eventually(t, "goroutines as before", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "descriptors as before", func() bool { return testenv.OpenFDs(t) <= fds })
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

// wire is a socket that says what the test says, until it is closed.
type wire struct {
	says   chan any // messages or an error
	closed chan struct{}
}

func newWire() *wire { return &wire{make(chan any), make(chan struct{})} }

func (w *wire) Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error) {
	select {
	case said := <-w.says:
		if err, ok := said.(error); ok {
			return nil, nil, err
		}
		return []syscall.NetlinkMessage{said.(syscall.NetlinkMessage)}, &unix.SockaddrNetlink{}, nil
	case <-w.closed:
		return nil, nil, os.ErrClosed
	}
}

func (w *wire) Close() { close(w.closed) }

// exchange hands out sockets and counts calls.
type exchange struct {
	mu      sync.Mutex
	opened  []*wire
	refuses bool
	calls   int
}

func (x *exchange) open() (socket, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.refuses {
		return nil, unix.EMFILE
	}
	w := newWire()
	x.opened = append(x.opened, w)
	return w, nil
}

func (x *exchange) called() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.calls++
}

// taken returns the calls since it was asked last, and the sockets opened so far.
func (x *exchange) taken() (calls, sockets int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	calls, x.calls = x.calls, 0
	return calls, len(x.opened)
}

func (x *exchange) latest() *wire {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.opened[len(x.opened)-1]
}

func (x *exchange) refuse(on bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.refuses = on
}

func message(kind uint16, dstLen byte) syscall.NetlinkMessage {
	return syscall.NetlinkMessage{
		Header: syscall.NlMsghdr{Type: kind}, Data: append([]byte{unix.AF_INET, dstLen}, make([]byte, unix.SizeofRtMsg-2)...),
	}
}

// TestWatchOutlivesItsSocket: what is lost is looked for, and a socket that failed is
// followed by another.
func TestWatchOutlivesItsSocket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var x exchange
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- watch(ctx, x.open, lookAgain, x.called) }()
		expect := func(what string, calls, sockets int) {
			t.Helper()
			synctest.Wait()
			if c, n := x.taken(); c != calls || n != sockets {
				t.Fatalf("%s: %d calls, %d sockets; want %d and %d", what, c, n, calls, sockets)
			}
		}
		say := func(said any) { x.latest().says <- said }
		expect("at the start", 1, 1)
		say(message(unix.RTM_NEWADDR, 24))
		expect("an address", 1, 1)
		say(message(unix.RTM_NEWROUTE, 0))
		expect("a default route", 1, 1)
		say(message(unix.RTM_NEWROUTE, 32))
		expect("a route to a host", 0, 1)
		say(error(unix.ENOBUFS))
		expect("lost messages", 1, 1)
		say(message(unix.RTM_DELLINK, 0))
		expect("the socket goes on", 1, 1)
		<-time.After(lookAgain)
		expect("a look untold", 1, 1)

		x.refuse(true)
		say(errors.New("broken"))
		expect("a socket that fails", 1, 1)
		<-time.After(lookAgain)
		expect("a look while none can be opened", 1, 1)
		x.refuse(false)
		<-time.After(lookAgain)
		expect("another socket", 1, 2)
		say(message(unix.RTM_NEWLINK, 0))
		expect("it is heard", 1, 2)

		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		for i, w := range x.opened {
			select {
			case <-w.closed:
			default:
				t.Errorf("socket %d is still open", i)
			}
		}
	})
}

func TestWatchNeedsASocket(t *testing.T) {
	t.Parallel()
	open := func() (socket, error) { return nil, unix.EMFILE }
	if err := watch(t.Context(), open, lookAgain, func() {}); !errors.Is(err, unix.EMFILE) {
		t.Errorf("got %v, want the error of the first socket", err)
	}
}
