package sentinel

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// carrier watches the interfaces that carry VIPs. Link events wake it early, but
// the kernel may delay them by a second after a change, so it also asks each period.
// Asking takes the kernel's network lock, which others can hold for long: hence a
// goroutine of its own that tells the loop through an eventfd.
type carrier struct {
	events int // netlink link events
	ctl    int // any socket, for the ioctl
	wake   int // eventfd towards the loop
	stop   int // eventfd from the loop
	period time.Duration
	names  []string
	up     atomic.Bool
	done   chan struct{}
}

// watchCarrier starts watching in the calling thread's network namespace.
func watchCarrier(names []string, period time.Duration, wake int) (*carrier, error) {
	c := &carrier{names: names, period: period, wake: wake, events: -1, ctl: -1, stop: -1, done: make(chan struct{})}
	if err := c.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch the service link: %w", err), c.release())
	}
	c.up.Store(c.allUp())
	go c.run()
	return c, nil
}

func (c *carrier) open() (err error) {
	if c.events, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE); err != nil {
		return err
	}
	if err = unix.Bind(c.events, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_LINK}); err != nil {
		return err
	}
	if c.ctl, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	c.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return err
}

// close ends the goroutine and waits for it.
func (c *carrier) close() error {
	if err := signal(c.stop); err != nil {
		return err
	}
	<-c.done
	return c.release()
}

func (c *carrier) release() error {
	var errs []error
	for _, fd := range []int{c.events, c.ctl, c.stop} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	return errors.Join(errs...)
}

func (c *carrier) run() {
	defer close(c.done)
	buf := make([]byte, 64<<10)
	fds := []unix.PollFd{{Fd: int32(c.events), Events: unix.POLLIN}, {Fd: int32(c.stop), Events: unix.POLLIN}}
	timeout := int(max(c.period.Milliseconds(), 1))
	for {
		_, err := unix.Poll(fds, timeout)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if fds[1].Revents != 0 {
			return
		}
		drain(c.events, buf)
		if up := c.allUp(); c.up.Swap(up) != up {
			_ = signal(c.wake)
		}
	}
}

func drain(fd int, buf []byte) {
	for {
		if _, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

func (c *carrier) allUp() bool {
	for _, n := range c.names {
		if !hasCarrier(c.ctl, n) {
			return false
		}
	}
	return true
}

// hasCarrier asks by ETHTOOL_GLINK: interface flags would show a lost carrier only
// after the kernel's delayed link work. An interface that is gone has none.
func hasCarrier(fd int, name string) bool {
	const ethtoolGetLink = 0x0a
	value := struct{ cmd, data uint32 }{cmd: ethtoolGetLink}
	req := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	if errno == unix.EOPNOTSUPP {
		return true // no notion of a carrier
	}
	return errno == 0 && value.data != 0
}

// signal adds one to an eventfd.
func signal(fd int) error {
	_, err := unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		return fmt.Errorf("signal an eventfd: %w", err)
	}
	return nil
}
