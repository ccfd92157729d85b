package system

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
)

// netlinkAttr is an attribute of one byte.
func netlinkAttr(kind int, value byte) *nl.RtAttr { return nl.NewRtAttr(kind, []byte{value}) }

// TestHostname works in a UTS namespace of its own: a thread that is never given back, as
// the namespace is the thread's. Without one nothing is set.
func TestHostname(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	before, err := Hostname()
	if err != nil {
		t.Fatal(err)
	}
	m.write("etc/hostname", before+"\n")
	a := m.daemon()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with its goroutine
		if err := unix.Unshare(unix.CLONE_NEWUTS | unix.CLONE_NEWNET); err != nil {
			t.Errorf("no UTS namespace: %v", err)
			return
		}
		a.opts.SetHostname = func(name string) error { return unix.Sethostname([]byte(name)) }
		set := func(a *Actuator, name, wantKernel, wantFile string) {
			t.Helper()
			a.Set(lb.System{Hostname: name})
			a.Apply(t.Context())
			now, err := Hostname()
			if err != nil || now != wantKernel || len(a.Problems()) > 0 {
				t.Errorf("the kernel's is %q, want %q: %v, %q", now, wantKernel, err, a.Problems())
			}
			if got, err := os.ReadFile(filepath.Join(m.dir, "etc/hostname")); err != nil || string(got) != wantFile {
				t.Errorf("the file says %q, want %q: %v", got, wantFile, err)
			}
		}
		set(a, "lb1", "lb1", "lb1\n")
		set(a, "lb2", "lb2", "lb2\n")
		next := m.daemon()
		next.opts.SetHostname = a.opts.SetHostname
		set(next, "lb2", "lb2", "lb2\n")
		set(next, "", before, before+"\n")
	}()
	<-done
	if after, err := Hostname(); err != nil || after != before {
		t.Fatalf("the machine is called %q now: %v", after, err)
	}
}

func FuzzResolver(f *testing.F) {
	f.Add([]byte("nameserver 192.168.94.1\nsearch a b\n"))
	f.Add([]byte("nameserver\x00\nsearch "))
	f.Fuzz(func(t *testing.T, data []byte) {
		servers, search := parseResolver(data)
		if len(servers) > maxShown || len(search) > maxShown {
			t.Errorf("%d servers, %d domains", len(servers), len(search))
		}
	})
}

func FuzzAddress(f *testing.F) {
	f.Add([]byte{2, 24, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 10, 0, 0, 1, 5, 0, 11, 0, 119, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := parseAddress(data)
		if err == nil && h.Prefix.IsValid() && h.Prefix.Bits() > h.Prefix.Addr().BitLen() {
			t.Errorf("%v", h)
		}
	})
}
