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

// Mounting mounts the boot partition on a directory only while it is used, and writes
// through to the disk: the power may fail whenever nothing is being installed.
func Mounting(at string) func(func(Partition) error) error {
	return func(use func(Partition) error) error {
		dev := Device(BootPartition)
		if dev == "" {
			return fmt.Errorf("no disk has the partition %s: this machine does not start from an image of this appliance", BootPartition)
		}
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
