// Package netns makes anonymous network namespaces and runs functions inside
// them. A namespace is held by a file descriptor alone: nothing is named, so
// nothing is left behind when the process dies.
//
// A socket stays in the namespace it was opened in, and a child process starts in
// the namespace of the thread that forked it, so [NS.Do] is all that is needed:
// open sockets or start commands inside it and use them anywhere.
package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// NS is one network namespace, kept alive by its file descriptor.
type NS struct{ file *os.File }

// New makes an empty namespace (loopback down). It needs CAP_SYS_ADMIN.
func New() (*NS, error) {
	var ns *NS
	err := away(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("make a network namespace (root is needed): %w", err)
		}
		var err error
		ns, err = Current()
		return err
	})
	if err != nil && ns != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return ns, err
}

// Current returns the namespace of the calling thread.
func Current() (*NS, error) {
	f, err := openCurrent()
	if err != nil {
		return nil, err
	}
	return &NS{f}, nil
}

// Open returns the namespace behind a path below /proc.
func Open(path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open a network namespace: %w", err)
	}
	return &NS{f}, nil
}

func openCurrent() (*os.File, error) {
	f, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		return nil, fmt.Errorf("open the thread's network namespace: %w", err)
	}
	return f, nil
}

// Fd returns the descriptor, valid until Close.
func (n *NS) Fd() int { return int(n.file.Fd()) }

// File returns the open file, for handing to a child process.
func (n *NS) File() *os.File { return n.file }

// Close drops the reference; the kernel frees the namespace when the last
// process, socket and descriptor in it are gone.
func (n *NS) Close() error { return n.file.Close() }

// Do runs fn on a thread that is inside the namespace. fn must not start
// goroutines that rely on it, but sockets it opens and commands it starts stay there.
func (n *NS) Do(fn func() error) error {
	return away(func() error {
		if err := unix.Setns(n.Fd(), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return fn()
	})
}

// errAbandoned is what Do returns when fn ended its goroutine.
var errAbandoned = errors.New("the function in the network namespace did not return: it called runtime.Goexit, as t.Fatal does")

// away runs fn, which may change the namespace of its thread, and brings the thread
// home, even when fn ends its goroutine. A thread that cannot come home stays locked
// and dies with its goroutine rather than return to the scheduler in a foreign
// namespace.
func away(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := openCurrent()
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err = errAbandoned
		defer func() { done <- errors.Join(err, bring(home)) }()
		err = fn()
	}()
	return <-done
}

// bring takes the locked thread home and unlocks it.
func bring(home *os.File) error {
	defer home.Close()
	if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("leave network namespace: %w", err)
	}
	runtime.UnlockOSThread()
	return nil
}
