package vmexec

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// grace is what a program has beyond its own -test.timeout, which writes the stacks.
const grace = 30 * time.Second

// defaultTimeout bounds a program that names no -test.timeout.
const defaultTimeout = 11 * time.Minute

// Options describe a machine.
type Options struct {
	Cache  string // a directory for packages and kernels
	Kernel string // the series of the kernel: "6.1" or "6.12"
	// Warp makes time pass by work: while all processes sleep, it jumps to where the first
	// wakes. A test may then wait an hour in a second. It takes one processor and is slower.
	Warp bool
	// Limit bounds the machine's life; 0 is the program's own -test.timeout and half a
	// minute for its stacks, or eleven minutes.
	Limit time.Duration
}

// Run runs a static program with its arguments in the machine, in the present directory,
// and returns its exit status. What it writes, standard output and error alike, goes to out.
// One machine runs at a time per cache: a second caller waits.
func Run(ctx context.Context, o Options, argv []string, out io.Writer) (int, error) {
	if err := static(argv[0]); err != nil {
		return 0, err
	}
	dir, err := os.Getwd()
	if err != nil {
		return 0, fmt.Errorf("find the program's directory: %w", err)
	}
	b, err := openBase(ctx, o.Cache, o.Kernel)
	if err != nil {
		return 0, err
	}
	unlock, err := alone(ctx, filepath.Join(o.Cache, "lock"))
	if err != nil {
		return 0, err
	}
	defer unlock()
	initrd, err := assemble(b, argv[0], order{Args: argv[1:], Dir: dir, Env: environment(o.Warp)})
	if err != nil {
		return 0, err
	}
	defer os.Remove(initrd)
	limit := o.Limit
	if limit == 0 {
		limit = timeoutOf(argv)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the program did not end within %s", limit))
	defer cancel()
	for range bootTries - 1 {
		code, err := boot(ctx, b, initrd, o.Warp, out)
		if !errors.Is(err, errStuck) {
			return code, err
		}
	}
	return boot(ctx, b, initrd, o.Warp, out)
}

// static says why a program cannot run where there are no libraries.
func static(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return fmt.Errorf("open the program: %w", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s needs shared libraries, which the machine lacks: build it with CGO_ENABLED=0", program)
		}
	}
	return nil
}

// environment is what of the caller's environment goes along: what tests are steered by.
// VOSBED_WARP tells them that time jumps.
func environment(warp bool) []string {
	env := []string{"HOME=/root", "PATH=/sbin:/bin:/usr/sbin:/usr/bin", "TMPDIR=/tmp", "USER=root"}
	for _, one := range os.Environ() {
		if strings.HasPrefix(one, "VOSBED_") || strings.HasPrefix(one, "GO") || strings.HasPrefix(one, "CI=") {
			env = append(env, one)
		}
	}
	if warp {
		env = append(env, "VOSBED_WARP=1")
	}
	return env
}

func timeoutOf(argv []string) time.Duration {
	for _, arg := range argv {
		if text, ok := strings.CutPrefix(strings.TrimLeft(arg, "-"), "test.timeout="); ok {
			if d, err := time.ParseDuration(text); err == nil && d > 0 {
				return d + grace
			}
		}
	}
	return defaultTimeout
}

// alone waits until no other machine runs.
func alone(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the machine: %w", err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock the machine: %w", err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-tick.C:
		}
	}
}

// assemble writes both archives, one after the other, to a file of its own.
func assemble(b base, program string, o order) (path string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find the init program: %w", err)
	}
	f, err := os.CreateTemp("", "vmexec-*.cpio")
	if err != nil {
		return "", fmt.Errorf("make the machine's archive: %w", err)
	}
	defer func() {
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	modules, err := os.Open(b.archive)
	if err != nil {
		return "", fmt.Errorf("open the modules: %w", err)
	}
	defer modules.Close()
	if _, err = io.Copy(f, modules); err != nil {
		return "", fmt.Errorf("make the machine's archive: %w", err)
	}
	return f.Name(), overlay(f, self, program, o)
}
