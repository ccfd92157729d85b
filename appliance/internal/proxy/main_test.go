package proxy

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside marks the test program once it is in a network namespace of its own, where
// every test has 127.0.0.0/8 and all ports to itself.
const inside = "VOSBED_PROXY_TEST_NS"

func TestMain(m *testing.M) {
	if role := os.Getenv(benchRole); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
		}
		return
	}
	if os.Geteuid() == 0 {
		if err := enter(); err != nil {
			panic(err)
		}
	}
	m.Run()
}

// enter starts the program afresh in a new namespace: exec keeps the namespace of
// the thread that calls it.
func enter() error {
	if os.Getenv(inside) != "" {
		return loopbackUp()
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), inside+"=1"))
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}
