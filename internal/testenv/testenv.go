// Package testenv gates tests on what the environment can prove: a test skips only
// when a capability is provably missing, and where that capability is required
// (VOSBED_REQUIRE, set in CI) its absence is a failure instead.
package testenv

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/internal/netns"
)

// RequireRoot skips unless the test may make network namespaces.
func RequireRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		missing(tb, "root", "not running as root")
	}
}

// RequireTool skips unless the program is on PATH, and returns its path.
func RequireTool(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(tb, name, "program not found: install "+name)
	}
	return path
}

// Missing reports a capability that a test has proved absent.
func Missing(tb testing.TB, capability, reason string) {
	tb.Helper()
	missing(tb, capability, reason)
}

// missing fails where the capability is required and skips elsewhere.
func missing(tb testing.TB, capability, reason string) {
	tb.Helper()
	required := strings.Split(os.Getenv("VOSBED_REQUIRE"), ",")
	if slices.Contains(required, capability) {
		tb.Fatalf("%s is required here: %s", capability, reason)
	}
	tb.Skipf("needs %s: %s", capability, reason)
}

// NewNS makes a namespace that is closed when the test ends.
func NewNS(tb testing.TB) *netns.NS {
	tb.Helper()
	RequireRoot(tb)
	ns, err := netns.New()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ns.Close() })
	return ns
}

// OpenFDs counts this process's descriptors; the one that counts is among them.
func OpenFDs(tb testing.TB) int {
	tb.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(fds)
}
