package vm

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/internal/qemu"
)

// Patience is how long a machine may take to boot: emulation is slow, and the machine below
// it may be busy.
const Patience = 4 * time.Minute

// Hardware is a set of devices like a hypervisor's.
type Hardware struct {
	Name string
	// Board is QEMU's machine; empty = q35, a PC of today.
	Board string
	// Disk and Card are QEMU arguments; %s stands for the identity of the drive or net.
	Disk, Card []string
	// UEFIDisk replaces Disk where the firmware is UEFI; empty = the same.
	UEFIDisk []string
}

// Hardwares are the sets of the boot matrix.
func Hardwares() []Hardware {
	virtio := []string{"-device", "virtio-net-pci,netdev=%s,romfile="}
	return []Hardware{
		{Name: "kvm", Disk: []string{"-device", "virtio-blk-pci,drive=%s,bootindex=1"}, Card: virtio},
		{
			Name: "vmware", Card: []string{"-device", "vmxnet3,netdev=%s,romfile="},
			Disk: []string{"-device", "pvscsi,id=s", "-device", "scsi-hd,bus=s.0,drive=%s,bootindex=1"},
			// Debian's OVMF has no driver for PVSCSI. ESXi offers NVMe as well.
			UEFIDisk: []string{"-device", "nvme,serial=vosbed,drive=%s,bootindex=1"},
		},
		{
			Name: "virtualbox", Card: []string{"-device", "e1000,netdev=%s,romfile="},
			Disk: []string{"-device", "ahci,id=a", "-device", "ide-hd,bus=a.0,drive=%s,bootindex=1"},
		},
		{Name: "nutanix", Disk: []string{"-device", "virtio-scsi-pci,id=s", "-device", "scsi-hd,bus=s.0,drive=%s,bootindex=1"}, Card: virtio},
		// The parallel disks of an old PC: q35's ide.0 is a SATA port.
		{Name: "ide", Board: "pc", Disk: []string{"-device", "ide-hd,bus=ide.0,drive=%s,bootindex=1"}, Card: virtio},
	}
}

// Options describe a machine.
type Options struct {
	Disk, Format string // path of the disk, and qemu's name of its format
	// Snapshot leaves the disk as it is: what the machine writes is thrown away.
	Snapshot bool
	// Restarts says that the machine may restart itself; otherwise that ends it.
	Restarts bool
	Seed     string // path of a second disk, read-only, "" = none
	Disc     string // path of what is in the CD-ROM drive, "" = it has no drive
	UEFI     bool
	// SecureBoot takes a UEFI firmware that checks signatures as soon as it has keys.
	SecureBoot bool
	Hardware   Hardware
	MemoryMB   int
	// Cards are its network cards, in the order in which it names them. None = one card, on
	// a network of the emulator's own that reaches nobody.
	Cards []Card
	// HTTPS is the loopback port that leads to the machine's 9443, where it has no Cards;
	// 0 = none.
	HTTPS int
	// Dir is where the machine's sockets and variables lie.
	Dir string
}

// Card is a network card.
type Card struct {
	MAC net.HardwareAddr
	// Tap is the far end of its cable. The machine has it from its start, and the caller may
	// close it then.
	Tap *os.File
}

// Debian's UEFI firmware and the variables that it starts with: no keys are in them.
const (
	ovmfSecure = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
	ovmfCode   = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars   = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// args are qemu's arguments but for the serial line.
func (o Options) args() ([]string, error) {
	args := []string{
		"-M", cmp.Or(o.Hardware.Board, "q35"), "-accel", "tcg,thread=multi", "-cpu", qemu.Processor, "-smp", "2", "-m", fmt.Sprint(o.MemoryMB),
		"-nodefaults", "-display", "none", "-vga", "none", "-monitor", "none",
		"-drive", fmt.Sprintf("if=none,id=disk,file=%s,format=%s,snapshot=%s", o.Disk, o.Format, onOff(o.Snapshot)),
	}
	if !o.Restarts {
		args = append(args, "-no-reboot")
	}
	disk := o.Hardware.Disk
	if o.UEFI && len(o.Hardware.UEFIDisk) > 0 {
		disk = o.Hardware.UEFIDisk
	}
	args = slices.Concat(args, filled(disk, "disk"), o.network())
	if o.Seed != "" {
		args = append(args, "-drive", "if=none,id=seed,format=raw,readonly=on,file="+o.Seed, "-device", "virtio-blk-pci,drive=seed")
	}
	if o.Disc != "" {
		args = append(args, "-drive", "if=none,id=disc,media=cdrom,format=raw,readonly=on,file="+o.Disc, "-device", "ide-cd,drive=disc")
	}
	if !o.UEFI {
		return args, nil
	}
	firmware, err := o.firmware()
	return append(args, firmware...), err
}

// firstExtra is the first descriptor that a child process gets besides the standard ones.
const firstExtra = 3

// network is the machine's cards, and what their cables lead to.
func (o Options) network() []string {
	if len(o.Cards) == 0 {
		user := "user,id=net,restrict=on"
		if o.HTTPS != 0 {
			user += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:9443", o.HTTPS)
		}
		return append([]string{"-netdev", user}, filled(o.Hardware.Card, "net")...)
	}
	var args []string
	for i, c := range o.Cards {
		id := fmt.Sprintf("net%d", i)
		args = append(args, "-netdev", fmt.Sprintf("tap,id=%s,fd=%d", id, firstExtra+i))
		args = append(args, filled(o.Hardware.Card, id)...)
		args[len(args)-1] += ",mac=" + c.MAC.String()
	}
	return args
}

// taps are the files that the emulator gets from [firstExtra] on.
func (o Options) taps() []*os.File {
	var out []*os.File
	for _, c := range o.Cards {
		out = append(out, c.Tap)
	}
	return out
}

// firmware gives the machine variables of its own.
func (o Options) firmware() ([]string, error) {
	vars := filepath.Join(o.Dir, "vars.fd")
	data, err := os.ReadFile(ovmfVars)
	if err != nil {
		return nil, fmt.Errorf("read the firmware's variables (Debian's package ovmf has them): %w", err)
	}
	if err := os.WriteFile(vars, data, 0o600); err != nil {
		return nil, fmt.Errorf("write the firmware's variables: %w", err)
	}
	code := ovmfCode
	var args []string
	if o.SecureBoot { // its variables are out of the system's reach
		code, args = ovmfSecure, []string{"-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"}
	}
	return append(args, "-drive", "if=pflash,format=raw,readonly=on,file="+code, "-drive", "if=pflash,format=raw,file="+vars), nil
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// filled puts an identity in the place of %s.
func filled(args []string, id string) []string {
	var out []string
	for _, a := range args {
		out = append(out, strings.ReplaceAll(a, "%s", id))
	}
	return out
}
