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
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root", "not running as root")
	}
}

// RequireTool skips unless the program is on PATH, and returns its path.
func RequireTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name, "program not found: install "+name)
	}
	return path
}

// Missing reports a capability that a test has proved absent.
func Missing(t testing.TB, capability, reason string) {
	t.Helper()
	missing(t, capability, reason)
}

// missing fails where the capability is required and skips elsewhere.
func missing(t testing.TB, capability, reason string) {
	t.Helper()
	required := strings.Split(os.Getenv("VOSBED_REQUIRE"), ",")
	if slices.Contains(required, capability) {
		t.Fatalf("%s is required here: %s", capability, reason)
	}
	t.Skipf("needs %s: %s", capability, reason)
}

// NewNS makes a namespace that is closed when the test ends.
func NewNS(t testing.TB) *netns.NS {
	t.Helper()
	RequireRoot(t)
	ns, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	return ns
}
