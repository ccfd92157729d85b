package lease_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/ebpf/lease"
	"github.com/vosbed/vosbed/internal/testenv"
)

func mount(t *testing.T) string {
	t.Helper()
	testenv.RequireRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func open(t *testing.T, from func(string) (*lease.Lease, error), dir string) *lease.Lease {
	t.Helper()
	l, err := from(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestOneWordSharedByAllHolders(t *testing.T) {
	dir := mount(t)
	if _, err := lease.Open(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("opening what is not there: %v, want not-exist", err)
	}
	first := open(t, lease.Create, dir)
	if got := first.Deadline(); got != lease.NotHeld {
		t.Fatalf("a new lease holds %d, want 0", got)
	}
	second := open(t, lease.Open, dir)
	first.Renew(42)
	if got := second.Deadline(); got != 42 {
		t.Errorf("the other holder reads %d, want 42", got)
	}
	again := open(t, lease.Create, dir)
	if got := again.Deadline(); got != 42 {
		t.Errorf("creating again reads %d, want the standing 42", got)
	}
	var kernel uint64
	if err := first.Map().Lookup(uint32(0), &kernel); err != nil || kernel != 42 {
		t.Errorf("the kernel reads %d, %v; want 42", kernel, err)
	}
}

func TestRenewFor(t *testing.T) {
	testenv.RequireRoot(t)
	l := open(t, lease.Create, "")
	before, err := lease.Now()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.RenewFor(time.Minute); err != nil {
		t.Fatal(err)
	}
	if d := l.Deadline() - before; d < uint64(time.Minute) || d > uint64(2*time.Minute) {
		t.Errorf("the deadline is %d ns ahead, want a minute", d)
	}
	if err := l.RenewFor(0); err != nil || l.Deadline() != lease.NotHeld {
		t.Errorf("given up: %d, %v", l.Deadline(), err)
	}
}
