package netns_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// asked marks this program as the child that tells which namespace it is in.
const asked = "VOSBED_NETNS_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asked) != "" {
		name, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			panic(err)
		}
		fmt.Print(name)
		return
	}
	m.Run()
}

// cookie is the kernel's name for the namespace that a socket belongs to.
func cookie(t *testing.T, fd int) uint64 {
	t.Helper()
	c, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func open() (int, error) {
	return unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
}

func TestSocketsStay(t *testing.T) {
	a, b := testenv.NewNS(t), testenv.NewNS(t)
	var fds []int
	take := func() error {
		fd, err := open()
		fds = append(fds, fd)
		return err
	}
	for _, err := range []error{take(), a.Do(take), a.Do(take), b.Do(take), take()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var c []uint64
	for _, fd := range fds {
		c = append(c, cookie(t, fd))
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
	if c[0] != c[4] || c[1] != c[2] || c[0] == c[1] || c[0] == c[3] || c[1] == c[3] {
		t.Errorf("home %d, a %d and %d, b %d, home %d", c[0], c[1], c[2], c[3], c[4])
	}
}

func TestCommandsStartInside(t *testing.T) {
	ns := testenv.NewNS(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), asked+"=1")
	var got []byte
	err := ns.Do(func() (err error) { got, err = cmd.Output(); return err })
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", ns.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("the child is in %s, want %s", got, want)
	}
}

// strays are the threads of this process that are not in the namespace of the test's own.
func strays(t *testing.T) []string {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Readlink(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob("/proc/self/task/*/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range threads {
		switch at, err := os.Readlink(path); {
		case errors.Is(err, fs.ErrNotExist): // it has just ended
		case err != nil:
			t.Fatal(err)
		case at != home:
			out = append(out, path+" is in "+at)
		}
	}
	return out
}

func TestThreadsComeHome(t *testing.T) {
	shared := testenv.NewNS(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 5 {
				ns, err := netns.New()
				if err != nil {
					t.Error(err)
					return
				}
				for _, n := range []*netns.NS{ns, shared} {
					if err := n.Do(func() error { runtime.Gosched(); return nil }); err != nil {
						t.Error(err)
					}
				}
				if err := ns.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if s := strays(t); len(s) > 0 {
		t.Errorf("threads that did not come home: %q", s)
	}
}

func TestNoDescriptorLeaks(t *testing.T) {
	testenv.RequireRoot(t)
	count := func() int {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(fds)
	}
	failed := errors.New("failed")
	before := count()
	for range 50 {
		ns, err := netns.New()
		if err != nil {
			t.Fatal(err)
		}
		if err := ns.Do(func() error { return failed }); !errors.Is(err, failed) {
			t.Errorf("Do = %v, want the function's own error", err)
		}
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
		if err := ns.Do(func() error { t.Error("ran in a closed namespace"); return nil }); err == nil {
			t.Error("a closed namespace was entered")
		}
	}
	if after := count(); after > before {
		t.Errorf("descriptors: %d before, %d after", before, after)
	}
}

// TestAbandoned: t.Fatal inside Do must not hang the test, nor leave a thread astray.
func TestAbandoned(t *testing.T) {
	ns := testenv.NewNS(t)
	err := ns.Do(func() error { runtime.Goexit(); return nil })
	if err == nil {
		t.Error("no error although the function did not return")
	}
	if s := strays(t); len(s) > 0 {
		t.Errorf("threads astray: %q", s)
	}
}
