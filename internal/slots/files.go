package slots

import (
	"bytes"
	"debug/pe"
	"errors"
	"fmt"
	"strings"
)

// Slot is one of the two places.
type Slot string

// The slots.
const (
	A Slot = "a"
	B Slot = "b"
)

// Other is the other slot.
func (s Slot) Other() Slot {
	if s == A {
		return B
	}
	return A
}

// Image is the path of a slot's system on the partition.
func (s Slot) Image() string { return string(s) + "/vosbed.efi" }

func (s Slot) version() string { return string(s) + "/version" }
func (s Slot) grub() string    { return string(s) + "/grub.cfg" }

// Tries is how often a new system may fail to come up healthy.
const Tries = 3

// Files are the files of a system that is as good as tested, by their paths: what a fresh
// disk begins with.
func Files(s Slot, version string, image []byte) (map[string][]byte, error) {
	cfg, err := grubSlot(s, image)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		s.Image():                           image,
		s.version():                         []byte(version + "\n"),
		s.grub():                            cfg,
		entryDir + "/" + name(s, counter{}): entry(s, version),
		envFile:                             environment{first: s}.encode(),
		"grub/grub.cfg":                     []byte(grubConfig),
		"loader/loader.conf":                []byte("timeout 0\neditor no\n"),
	}, nil
}

// entry is systemd-boot's entry (uapi-group.org, Boot Loader Specification, type 1).
func entry(s Slot, version string) []byte {
	return fmt.Appendf(nil, "title vosbed %s\nversion %s\nsort-key vosbed\nefi /%s\n", version, version, s.Image())
}

// sector is GRUB's unit of places in a file, in bytes.
const sector = 512

// grubSlot says where in the image the parts are, in GRUB's block list notation.
func grubSlot(s Slot, image []byte) ([]byte, error) {
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, fmt.Errorf("the system is no unified kernel image: %w", err)
	}
	var errs []error
	place := func(name string) string {
		part := f.Section(name)
		if part == nil || part.Offset%sector != 0 {
			errs = append(errs, fmt.Errorf("the unified kernel image has no section %s that begins at a sector", name))
			return ""
		}
		return fmt.Sprintf("%d+%d", part.Offset/sector, (min(part.VirtualSize, part.Size)+sector-1)/sector)
	}
	kernel, ram := place(".linux"), place(".initrd")
	options := ""
	if part := f.Section(".cmdline"); part != nil {
		data, err := part.Data()
		errs = append(errs, err)
		options = strings.TrimRight(string(data[:min(len(data), int(part.VirtualSize))]), "\x00\n")
	}
	if strings.ContainsAny(options, "'\n") {
		errs = append(errs, errors.New("the kernel's command line has a character that GRUB cannot be told"))
	}
	text := fmt.Sprintf("loopback uki ($root)/%s\nlinux (uki)%s %s\ninitrd (uki)%s\n", s.Image(), kernel, options, ram)
	return []byte(text), errors.Join(errs...)
}

// grubConfig is GRUB's program: it takes the first slot, counting down the tries of one that
// is not proven yet, and the other when none is left or the first does not load.
const grubConfig = `set timeout=0
load_env
if [ "$first" = b ]; then set slot=b; set other=a; else set slot=a; set other=b; fi
if [ "$left" = 3 ]; then set left=2; save_env left
elif [ "$left" = 2 ]; then set left=1; save_env left
elif [ "$left" = 1 ]; then set left=0; save_env left
elif [ "$left" = 0 ]; then set slot=$other
fi
source /$slot/grub.cfg
boot
source /$other/grub.cfg
boot
`
