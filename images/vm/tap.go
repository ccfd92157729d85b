package vm

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tunDevice is where the kernel gives taps (tuntap.rst).
const tunDevice = "/dev/net/tun"

// OpenTap makes a tap of that name in the network namespace of the calling thread: the far
// end of a network card's cable. It is gone when nobody has it open any more.
func OpenTap(name string) (*os.File, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s (the kernel's module tun is needed): %w", tunDevice, err)
	}
	f := os.NewFile(uintptr(fd), name)
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open tap %s: %w", name, err)
	}
	return f, nil
}
