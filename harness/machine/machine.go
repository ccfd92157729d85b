// Package machine describes the virtual machines that a lab runs as appliances: the
// arguments of QEMU, the disks, and the taps that are their network cards' far ends. It
// emulates the processor (TCG), so that it needs no KVM, and gives a machine no network
// but the taps it is handed.
package machine

import (
	"fmt"
	"net"
	"path/filepath"

	"github.com/vosbed/vosbed/internal/qemu"
)

// Programs that a machine needs, each of a Debian package: qemu-system-x86, qemu-utils,
// dosfstools and mtools.
const (
	QEMU     = qemu.Program
	qemuImg  = "qemu-img"
	mkfsVFAT = "mkfs.vfat"
	mcopy    = "mcopy"
)

// MemoryMB is what a machine has, and what the appliance's image serves in.
const MemoryMB = 512

// Options describe a machine.
type Options struct {
	Disk string // its own, qcow2
	Seed string // a second disk, raw, read-only
	// Console is the file that its serial line is appended to.
	Console string
	// Cards are its network cards, in the order in which it shall name them.
	Cards []Card
}

// Card is a network card. FD is the descriptor of its tap in the emulator.
type Card struct {
	MAC net.HardwareAddr
	FD  int
}

// Args are QEMU's arguments. One virtual processor each: two machines share the few that
// a test machine has, and a guest whose second one is not scheduled waits for it.
func Args(o Options) []string {
	args := []string{
		"-M", "q35", "-accel", "tcg", "-cpu", qemu.Processor, "-smp", "1", "-m", fmt.Sprint(MemoryMB),
		"-nodefaults", "-display", "none", "-vga", "none", "-monitor", "none", "-no-reboot",
		"-drive", "if=none,id=disk,format=qcow2,cache=unsafe,file=" + o.Disk, "-device", "virtio-blk-pci,drive=disk,bootindex=1",
		"-drive", "if=none,id=seed,format=raw,readonly=on,file=" + o.Seed, "-device", "virtio-blk-pci,drive=seed",
		"-chardev", "file,id=console,append=on,path=" + o.Console, "-serial", "chardev:console",
	}
	for i, c := range o.Cards {
		id := fmt.Sprintf("net%d", i)
		args = append(args,
			"-netdev", fmt.Sprintf("tap,id=%s,fd=%d", id, c.FD),
			"-device", fmt.Sprintf("virtio-net-pci,netdev=%s,mac=%s,romfile=", id, c.MAC))
	}
	return args
}

// Find returns the one image of the appliance in a folder, as `make image` leaves it.
func Find(dir string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*.qcow2"))
	if err != nil {
		return "", fmt.Errorf("look for an image: %w", err)
	}
	if len(found) != 1 {
		return "", fmt.Errorf("%s holds %d images (*.qcow2), not one: run make image, or name an image", dir, len(found))
	}
	return filepath.Abs(found[0])
}
