package slots

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// BootPartition is the name of the boot partition in the partition table.
const BootPartition = "vosbed-boot"

// turnFile is locked while the partition is mounted or repaired: the daemon and the first
// process take turns.
const turnFile = "/run/vosbed-boot.lock"

// inTurn calls use with the partition's device.
func inTurn(use func(dev string) error) error {
	dev := Device(BootPartition)
	if dev == "" {
		return fmt.Errorf("no disk has the partition %s: this machine does not start from an image of this appliance", BootPartition)
	}
	f, err := os.OpenFile(turnFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("take turns at the boot partition: %w", err)
	}
	defer f.Close() // and with it the lock
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("take turns at the boot partition: %w", err)
	}
	return use(dev)
}

// Mounting mounts the boot partition on a directory only while it is used, and writes
// through to the disk: the power may fail whenever nothing is being installed.
func Mounting(at string) func(func(Partition) error) error {
	return func(use func(Partition) error) error {
		return inTurn(func(dev string) error { return mounted(dev, at, use) })
	}
}

func mounted(dev, at string, use func(Partition) error) error {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return fmt.Errorf("mount the boot partition: %w", err)
	}
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME
	if err := unix.Mount(dev, at, "vfat", safe|unix.MS_SYNCHRONOUS, "umask=0077"); err != nil {
		return fmt.Errorf("mount the boot partition %s: %w", dev, err)
	}
	err := use(Partition{Dir: at})
	if gone := unix.Unmount(at, 0); gone != nil {
		err = errors.Join(err, fmt.Errorf("unmount the boot partition: %w", gone))
	}
	return err
}

// Repair gives back what belongs to no file any more: FAT loses the clusters of a file that
// is being removed when the power fails. check is fsck.fat(8) in its automatic mode, on the
// device; what it finds it makes files of, which are removed.
func Repair(at string, check func(dev string) error) error {
	return inTurn(func(dev string) error {
		if err := check(dev); err != nil {
			return fmt.Errorf("check the boot partition %s: %w", dev, err)
		}
		return mounted(dev, at, Partition.discardFound)
	})
}

// discardFound removes the files that fsck.fat has made.
func (p Partition) discardFound() error {
	found, _ := filepath.Glob(p.at("FSCK*.REC")) // the pattern is well formed
	var errs []error
	for _, at := range found {
		errs = append(errs, os.Remove(at))
	}
	return errors.Join(errs...)
}

// Device finds the block device of a partition by its name, "" if there is none.
func Device(name string) string {
	events, _ := filepath.Glob("/sys/class/block/*/uevent") // the pattern is well formed
	for _, at := range events {
		data, err := os.ReadFile(at)
		if err != nil {
			continue
		}
		values := map[string]string{}
		for line := range strings.Lines(string(data)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[key] = value
		}
		if values["PARTNAME"] == name {
			return "/dev/" + values["DEVNAME"]
		}
	}
	return ""
}

// RunningVersion is that of the system whose os-release(5) it is given.
func RunningVersion(osRelease string) (string, error) {
	text, err := os.ReadFile(osRelease)
	if err != nil {
		return "", fmt.Errorf("find out which version runs: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_ID="); ok {
			return strings.Trim(v, `"'`), nil
		}
	}
	return "", fmt.Errorf("find out which version runs: %s has no VERSION_ID", osRelease)
}
