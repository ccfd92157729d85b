package qemu

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// tunDevice is where the kernel gives taps (tuntap.rst).
const tunDevice = "/dev/net/tun"

// NewTap makes a tap of that name in the network namespace of the calling thread. It
// stays, without carrier, while nobody has it open.
func NewTap(name string) error {
	f, err := OpenTap(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetInt(int(f.Fd()), unix.TUNSETPERSIST, 1); err != nil {
		return fmt.Errorf("keep tap %s: %w", name, err)
	}
	return nil
}

// OpenTap opens a tap of the calling thread's namespace, for a machine to send and
// receive by. Frames carry no header of their own and whole checksums, so that what is
// captured reads like frames of a wire.
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
