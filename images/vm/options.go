package vm

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Patience is how long a machine may take to boot: emulation is slow, and the machine below
// it may be busy.
const Patience = 4 * time.Minute

// Hardware is a set of devices like a hypervisor's.
type Hardware struct {
	Name string
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
		{Name: "ide", Disk: []string{"-device", "ide-hd,bus=ide.0,drive=%s,bootindex=1"}, Card: virtio},
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
	UEFI     bool
	Hardware Hardware
	MemoryMB int
	// HTTPS is the loopback port that leads to the machine's 9443, 0 = none.
	HTTPS int
	// Dir is where the machine's sockets and variables lie.
	Dir string
}

// Debian's UEFI firmware and the variables that it starts with.
const (
	ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// args are qemu's arguments but for the serial line.
func (o Options) args() ([]string, error) {
	args := []string{
		"-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", fmt.Sprint(o.MemoryMB),
		"-nodefaults", "-display", "none", "-vga", "none", "-monitor", "none",
		"-drive", fmt.Sprintf("if=none,id=disk,file=%s,format=%s,snapshot=%s", o.Disk, o.Format, onOff(o.Snapshot)),
	}
	if !o.Restarts {
		args = append(args, "-no-reboot")
	}
	net := "user,id=net,restrict=on"
	if o.HTTPS != 0 {
		net += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:9443", o.HTTPS)
	}
	args = append(args, "-netdev", net)
	disk := o.Hardware.Disk
	if o.UEFI && len(o.Hardware.UEFIDisk) > 0 {
		disk = o.Hardware.UEFIDisk
	}
	args = slices.Concat(args, filled(disk, "disk"), filled(o.Hardware.Card, "net"))
	if o.Seed != "" {
		args = append(args, "-drive", "if=none,id=seed,format=raw,readonly=on,file="+o.Seed, "-device", "virtio-blk-pci,drive=seed")
	}
	if !o.UEFI {
		return args, nil
	}
	firmware, err := o.firmware()
	return append(args, firmware...), err
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
	return []string{"-drive", "if=pflash,format=raw,readonly=on,file=" + ovmfCode, "-drive", "if=pflash,format=raw,file=" + vars}, nil
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
