package ebpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// layoutVersion is LAYOUT_VERSION of bpf/structs.h.
const layoutVersion = 1

// load creates or adopts the maps and loads the programs.
func load(opts Options, leaseMap *ebpf.Map) (*drObjects, error) {
	objs, err := loadOnce(opts, leaseMap)
	if err == nil && opts.PinDir != "" {
		err = checkVersion(objs)
	}
	if !errors.Is(err, ebpf.ErrMapIncompatible) || opts.PinDir == "" {
		return objs, err
	}
	opts.Logger.Warn("pinned data-plane maps do not fit this version: flows and persistence start empty",
		"dir", opts.PinDir, "err", err)
	if objs != nil {
		_ = objs.Close()
	}
	if err := unpinMaps(opts.PinDir); err != nil {
		return nil, err
	}
	return loadOnce(opts, leaseMap)
}

func loadOnce(opts Options, leaseMap *ebpf.Map) (*drObjects, error) {
	spec, err := loadDr()
	if err != nil {
		return nil, fmt.Errorf("read the embedded data-plane object: %w", err)
	}
	size(spec, opts)
	co := &ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{"lease": leaseMap}}
	if opts.PinDir != "" {
		co.Maps.PinPath = opts.PinDir
		for name, m := range spec.Maps {
			if name != "lease" {
				m.Pinning = ebpf.PinByName
			}
		}
	}
	var objs drObjects
	if err := spec.LoadAndAssign(&objs, co); err != nil {
		return nil, fmt.Errorf("load the data-plane programs (kernel >= 6.6 and root are needed): %w", err)
	}
	return &objs, nil
}

func size(spec *ebpf.CollectionSpec, opts Options) {
	spec.Maps["flows"].MaxEntries = opts.Flows
	spec.Maps["persist"].MaxEntries = opts.Entries
	spec.Maps["fragments"].MaxEntries = opts.Fragments
}

// checkVersion tells whether adopted maps mean what this program thinks.
func checkVersion(objs *drObjects) error {
	var c drConfig
	if err := objs.Settings.Lookup(uint32(0), &c); err != nil {
		return fmt.Errorf("read the layout version: %w", err)
	}
	if c.Version != 0 && c.Version != layoutVersion {
		return fmt.Errorf("layout %d, want %d: %w", c.Version, layoutVersion, ebpf.ErrMapIncompatible)
	}
	return nil
}

func unpinMaps(dir string) error {
	spec, err := loadDr()
	if err != nil {
		return fmt.Errorf("read the embedded data-plane object: %w", err)
	}
	for name := range spec.Maps {
		if name == "lease" {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove an outdated pinned map: %w", err)
		}
	}
	return nil
}

// tickRate is the kernel's HZ: the resolution of the coarse clock is one tick.
func tickRate() (uint64, error) {
	var ts unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &ts); err != nil {
		return 0, fmt.Errorf("read the tick length: %w", err)
	}
	return uint64(time.Second) / uint64(ts.Nano()), nil
}
