package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/images/ovfenv"
	"github.com/vosbed/vosbed/internal/slots"
)

// ConfigPartition is the name of the partition of what is kept (package recipe makes it).
const ConfigPartition = "vosbed-config"

// StateDir is where the configuration partition is mounted.
const StateDir = "/var/lib/vosbed"

// diskPatience is how long a disk may take to appear.
const diskPatience = 30 * time.Second

// errNoPartition says that a partition did not appear.
var errNoPartition = errors.New("no disk has it")

// partition waits for a partition by its name and returns its device. again is called
// before each further look, to load what serves hardware that came late.
func partition(ctx context.Context, name string, again func()) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, diskPatience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if dev := slots.Device(name); dev != "" {
			return dev, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the partition %s: %w", name, errNoPartition)
		case <-tick.C:
			again()
		}
	}
}

// mountState mounts the configuration partition. Without it the system runs in memory:
// whoever stands at the console sees why.
func mountState(ctx context.Context, again func()) error {
	if err := os.MkdirAll(StateDir, 0o700); err != nil {
		return fmt.Errorf("make %s: %w", StateDir, err)
	}
	dev, err := partition(ctx, ConfigPartition, again)
	if err != nil {
		return err
	}
	if err := unix.Mount(dev, StateDir, "ext4", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_NOATIME, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", dev, StateDir, err)
	}
	return nil
}

// seedLabel is that of a disk with a first configuration (cloud-init's NoCloud uses it).
const seedLabel = "CIDATA"

// seedDir is where such a disk is mounted, read-only.
const seedDir = "/run/seed"

// fatModules are what a FAT file system takes. The kernel would ask for them one by one.
func fatModules() []string { return []string{"vfat", "nls_cp437", "nls_ascii"} }

// mountSeed mounts a disk with a first configuration, if there is one; done unmounts it.
func mountSeed(l *loader) (done func(), err error) {
	events, _ := filepath.Glob("/sys/class/block/*")
	for _, at := range events {
		dev := "/dev/" + filepath.Base(at)
		kind := labelled(dev, seedLabel)
		isDisc := kind == "" && isISO(dev)
		if isDisc {
			kind = "iso9660"
		}
		if kind == "" {
			continue
		}
		if kind == "vfat" {
			_ = l.load(fatModules()...) // if that fails the mount says so
		}
		if err := os.MkdirAll(seedDir, 0o700); err != nil {
			return nil, fmt.Errorf("make %s: %w", seedDir, err)
		}
		if err := unix.Mount(dev, seedDir, kind, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
			return nil, fmt.Errorf("mount %s: %w", dev, err)
		}
		if !isDisc || exists(filepath.Join(seedDir, ovfenv.File)) {
			break
		}
		_ = unix.Unmount(seedDir, 0) // somebody else's disc
	}
	return func() { _ = unix.Unmount(seedDir, 0) }, nil
}

// isISO says whether a device holds a disc (ECMA-119, 8.4.2).
func isISO(dev string) bool {
	const place, text = 0x8001, "CD001"
	f, err := os.Open(dev)
	if err != nil {
		return false
	}
	defer f.Close()
	data := make([]byte, len(text))
	_, err = f.ReadAt(data, place)
	return err == nil && string(data) == text
}

// labelled returns the kind of file system of a device if it has that label, "" if not.
func labelled(dev, label string) string {
	f, err := os.Open(dev)
	if err != nil {
		return ""
	}
	defer f.Close()
	const isoLabel, fatLabel, fat16Label = 0x8028, 0x47, 0x2b // ECMA-119 8.4.5; FAT specification 3.1-3.3
	for _, at := range []struct {
		kind  string
		where int64
		size  int
	}{{"iso9660", isoLabel, 32}, {"vfat", fatLabel, 11}, {"vfat", fat16Label, 11}} {
		text := make([]byte, at.size)
		if _, err := f.ReadAt(text, at.where); err == nil && strings.EqualFold(strings.TrimSpace(string(text)), label) {
			return at.kind
		}
	}
	return ""
}
