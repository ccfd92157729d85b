package testenv_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/netns"
	"github.com/vosbed/vosbed/internal/testenv"
)

// witness records how a test would have ended first. The real methods would end its
// goroutine; here the gate goes on.
type witness struct {
	testing.TB

	ended string
}

func (w *witness) Helper() {}

func (w *witness) Fatalf(format string, args ...any) { w.end("fatal: "+format, args) }
func (w *witness) Skipf(format string, args ...any)  { w.end("skip: "+format, args) }

func (w *witness) end(format string, args []any) {
	if w.ended == "" {
		w.ended = fmt.Sprintf(format, args...)
	}
}

func TestMissing(t *testing.T) {
	const skip, fatal = "skip: needs tcx: old kernel", "fatal: tcx is required here: old kernel"
	for required, want := range map[string]string{"": skip, "root": skip, "tcx": fatal, "root,tcx": fatal, "tcx6": skip} {
		t.Setenv("VOSBED_REQUIRE", required)
		w := &witness{TB: t}
		testenv.Missing(w, "tcx", "old kernel")
		if w.ended != want {
			t.Errorf("required %q: %q, want %q", required, w.ended, want)
		}
	}
}

func TestRequireTool(t *testing.T) {
	t.Setenv("VOSBED_REQUIRE", "")
	w := &witness{TB: t}
	testenv.RequireTool(w, "no-such-program")
	if want := "skip: needs no-such-program: program not found: install no-such-program"; w.ended != want {
		t.Errorf("%q, want %q", w.ended, want)
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/tool", []byte("#!/bin/true\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	w = &witness{TB: t}
	if got := testenv.RequireTool(w, "tool"); got != dir+"/tool" || w.ended != "" {
		t.Errorf("got %q, %q", got, w.ended)
	}
}

func TestRequireRoot(t *testing.T) {
	w := &witness{TB: t}
	testenv.RequireRoot(w)
	if root := os.Geteuid() == 0; root == (w.ended != "") {
		t.Errorf("root %t: %q", root, w.ended)
	}
}

func TestNewNSIsClosedWithItsTest(t *testing.T) {
	var ns *netns.NS
	t.Run("a test", func(t *testing.T) {
		ns = testenv.NewNS(t)
		if _, err := unix.FcntlInt(uintptr(ns.Fd()), unix.F_GETFD, 0); err != nil {
			t.Fatal(err)
		}
	})
	if ns != nil && ns.Close() == nil {
		t.Error("the namespace was still open after its test")
	}
}
