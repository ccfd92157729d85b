package guest

import (
	"context"
	"fmt"
	"strings"
	"time"

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
	select {
	case <-m.whole: // the machine has other things to do before
	case <-ctx.Done():
		return
	}
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
	version, err := slots.RunningVersion("/etc/os-release")
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

// withBoot calls use with the boot partition, whose disk may come late.
func (m *machine) withBoot(ctx context.Context, use func(slots.Partition) error) error {
	if _, err := partition(ctx, slots.BootPartition, func() {}); err != nil {
		return err
	}
	_ = m.loader.load(fatModules()...) // if that fails the mount says so
	return slots.Mounting(bootDir)(use)
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
