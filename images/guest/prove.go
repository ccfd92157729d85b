package guest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/slots"
)

// Times of the proof that a new system gives.
const (
	proofEvery  = 3 * time.Second
	proofSteady = 15 * time.Second // it must be healthy for so long
	proofTime   = 5 * time.Minute  // and be so within that time
)

// bootDir is where the boot partition is mounted while it is needed.
const bootDir = "/run/boot"

// prove lets a system that was installed as an update show that it serves. If it does, it
// stays; if it does not in time, the machine starts again, and when the tries are used up
// the boot loader takes the former system. Nobody has to stand by.
func (m *machine) prove(ctx context.Context) {
	slot, proven, err := m.runningSlot(ctx)
	if err != nil || proven {
		m.trouble("find out whether this system is proven", err)
		return
	}
	daemon := api.NewUnix(socketPath)
	waiting, ok := proof{every: proofEvery, steady: proofSteady, within: proofTime, look: func(ctx context.Context) (bool, string) {
		st, problem := daemon.Update(ctx)
		if problem != nil {
			return false, problem.Error()
		}
		return st.Healthy, strings.Join(st.Waiting, "; ")
	}}.wait(ctx)
	if ctx.Err() != nil {
		return
	}
	if !ok {
		m.log.ErrorContext(ctx, "this system did not come up healthy and is given up", "waiting", waiting)
		m.end <- restart
		return
	}
	err = m.withBoot(ctx, func(p slots.Partition) error { return p.Bless(slot) })
	m.trouble("keep this system", err)
	m.log.InfoContext(ctx, "this system is proven and stays", "slot", slot)
}

// runningSlot is the slot whose version this system is, and whether it is proven.
func (m *machine) runningSlot(ctx context.Context) (slot slots.Slot, proven bool, err error) {
	version, err := osVersion("/etc/os-release")
	if err != nil {
		return "", false, err
	}
	err = m.withBoot(ctx, func(p slots.Partition) error {
		st, problem := p.State()
		if problem != nil {
			return problem
		}
		sys, ok := st.Of(version)
		if !ok {
			return fmt.Errorf("no slot holds version %s", version)
		}
		slot, proven = sys.Slot, sys.Proven
		return nil
	})
	return slot, proven, err
}

// osVersion is VERSION_ID of os-release(5).
func osVersion(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("find out which version this is: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_ID="); ok {
			return strings.Trim(v, `"`), nil
		}
	}
	return "", fmt.Errorf("%s names no version", path)
}

// withBoot calls use with the boot partition, which is mounted only meanwhile.
func (m *machine) withBoot(ctx context.Context, use func(slots.Partition) error) error {
	dev, err := partition(ctx, BootPartition, func() {})
	if err != nil {
		return err
	}
	if err = os.MkdirAll(bootDir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", bootDir, err)
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_SYNCHRONOUS
	if err = unix.Mount(dev, bootDir, "vfat", flags, ""); err != nil {
		return fmt.Errorf("mount the boot partition: %w", err)
	}
	defer func() { _ = unix.Unmount(bootDir, 0) }()
	return use(slots.Partition{Dir: bootDir})
}

// proof waits until something is healthy for a while.
type proof struct {
	every, steady, within time.Duration
	// look tells whether it is, or what it waits for.
	look func(context.Context) (healthy bool, waiting string)
}

// wait reports whether it became so in time, else what was waited for last.
func (p proof) wait(ctx context.Context) (waiting string, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, p.within)
	defer cancel()
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	var since time.Time
	for {
		healthy, why := p.look(ctx)
		switch {
		case !healthy:
			waiting, since = why, time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= p.steady:
			return "", true
		}
		select {
		case <-ctx.Done():
			return waiting, false
		case <-tick.C:
		}
	}
}
