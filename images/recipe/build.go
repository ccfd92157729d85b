package recipe

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/vosbed/vosbed/images/debian"
	"github.com/vosbed/vosbed/images/disk"
	"github.com/vosbed/vosbed/images/guest"
	"github.com/vosbed/vosbed/images/secureboot"
	"github.com/vosbed/vosbed/images/uki"
	"github.com/vosbed/vosbed/internal/slots"
)

// kernelPackage is the beginning of the name of Debian's generic kernel: the cloud kernel
// lacks what VirtualBox has by default (AHCI, e1000).
const kernelPackage = "linux-image-"

// Fixed identities: the same disk every time.
const (
	diskGUID   = "6E1D2F0A-56F5-4C52-8B6B-76F5B0D5A001"
	biosGUID   = "6E1D2F0A-56F5-4C52-8B6B-76F5B0D5A002"
	bootGUID   = "6E1D2F0A-56F5-4C52-8B6B-76F5B0D5A003"
	configGUID = "6E1D2F0A-56F5-4C52-8B6B-76F5B0D5A004"
	configUUID = "6e1d2f0a-56f5-4c52-8b6b-76f5b0d5a005"
	bootID     = 0x76F5B0D5
)

// Sizes in bytes.
const (
	mebibyte   = 1 << 20
	biosSize   = mebibyte
	bootSize   = 384 * mebibyte
	configSize = 512 * mebibyte
)

// Cmdline is the kernel's command line: what it says goes to the screen and to the first
// serial line.
const Cmdline = "console=ttyS0,115200 console=tty0 quiet loglevel=4 panic=10"

// DiskSize is the size of the disk in bytes (guide 9.1).
const DiskSize = 20 << 30

// Options say what to build and from what.
type Options struct {
	Version  string
	Lock     debian.Lock
	Cache    debian.Cache
	Programs Programs
	// PublicKey is the file of the key that updates of this appliance are verified with.
	PublicKey []byte
	// Trust signs what a firmware with Secure Boot starts.
	Trust Trust
	// Dir is where the disk and what is made on the way to it are written.
	Dir string
	// Time is that of every file, so that the same sources give the same image.
	Time time.Time
	// Say reports progress.
	Say func(format string, args ...any)
}

// Trust signs EFI programs.
type Trust interface {
	// Sign returns the program signed; the name tells which it is ([secureboot.System]).
	Sign(name string, program []byte) ([]byte, error)
	// Enrolment are the files that a firmware takes the keys by.
	Enrolment() (map[string][]byte, error)
}

// Result is what was built.
type Result struct {
	Disk string // path of the raw disk
	// System is the unified kernel image: all that an update replaces.
	System []byte
	// Keys are the files for firmware, and the signed boot loader.
	Keys map[string][]byte
}

type builder struct{ Options }

// deb returns the file of a pinned package.
func (b *builder) deb(ctx context.Context, name string) (string, error) {
	p, err := b.Lock.Find(name)
	if err != nil {
		return "", err
	}
	return b.Cache.Get(ctx, p)
}

// Build makes the disk.
func Build(ctx context.Context, o Options) (Result, error) {
	b := &builder{o}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return Result{}, fmt.Errorf("make the folder of the image: %w", err)
	}
	b.Say("gathering the system")
	scratch := filepath.Join(b.Dir, "kernel")
	defer func() { _ = os.RemoveAll(scratch) }()
	k, err := b.unpackKernel(ctx, scratch)
	if err != nil {
		return Result{}, err
	}
	early, later, err := b.files(ctx, o.Programs, k)
	if err != nil {
		return Result{}, err
	}
	system, err := b.system(ctx, k.Image, early, later)
	if err != nil {
		return Result{}, err
	}
	keys, err := b.keys(ctx)
	if err != nil {
		return Result{}, err
	}
	boot, err := b.bootFiles(system, keys)
	if err != nil {
		return Result{}, err
	}
	b.Say("laying out the disk")
	at, err := b.disk(ctx, boot)
	return Result{Disk: at, System: system, Keys: keys}, err
}

// system is the unified kernel image. Boot loaders read of it only the kernel and the
// initial RAM file system, which knows what the later part must be.
func (b *builder) system(ctx context.Context, kernel []byte, early, later *tree) ([]byte, error) {
	rest, err := later.archive(b.Time)
	if err != nil {
		return nil, err
	}
	early.file(guest.LaterSum, 0o644, []byte(guest.SumOf(rest)))
	initrd, err := early.pack(b.Time.Unix())
	if err != nil {
		return nil, err
	}
	stub, err := b.one(ctx, "systemd-boot-efi", func(p string) bool { return path.Base(p) == "linuxx64.efi.stub" })
	if err != nil {
		return nil, err
	}
	image, err := uki.Build(stub,
		uki.Section{Name: ".osrel", Data: []byte(etc(b.Version)["/etc/os-release"])},
		uki.Section{Name: ".cmdline", Data: []byte(Cmdline)},
		uki.Section{Name: ".linux", Data: kernel},
		uki.Section{Name: ".initrd", Data: initrd},
		uki.Section{Name: guest.LaterSection, Data: rest},
	)
	if err != nil {
		return nil, err
	}
	return b.Trust.Sign(secureboot.System, image)
}

// keys are the files for firmware, and the signed boot loader.
func (b *builder) keys(ctx context.Context) (map[string][]byte, error) {
	loader, err := b.one(ctx, "systemd-boot-efi", func(p string) bool { return path.Base(p) == "systemd-bootx64.efi" })
	if err != nil {
		return nil, err
	}
	signed, err := b.Trust.Sign(secureboot.Loader, loader)
	if err != nil {
		return nil, err
	}
	files, err := b.Trust.Enrolment()
	if err != nil {
		return nil, err
	}
	keys := maps.Clone(files)
	keys[secureboot.Loader] = signed
	return keys, nil
}

// enrolDir is where systemd-boot finds keys that it offers to a firmware without any
// (loader.conf(5), secure-boot-enroll).
const enrolDir = "loader/keys/auto/"

// bootFiles are the files of the boot partition.
func (b *builder) bootFiles(system []byte, keys map[string][]byte) (map[string][]byte, error) {
	files, err := slots.Files(slots.A, b.Version, system)
	if err != nil {
		return nil, err
	}
	for name, data := range keys {
		switch {
		case name == secureboot.Loader:
			files["EFI/BOOT/"+name] = data
		case path.Ext(name) == ".auth":
			files[enrolDir+name] = data
		}
	}
	return files, nil
}

// one is one file of a pinned package.
func (b *builder) one(ctx context.Context, name string, want func(string) bool) ([]byte, error) {
	deb, err := b.deb(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := debian.One(ctx, deb, want)
	return f.Data, err
}

// disk lays out the disk and returns its path.
func (b *builder) disk(ctx context.Context, boot map[string][]byte) (string, error) {
	bootImage, configImage := filepath.Join(b.Dir, "boot.fat"), filepath.Join(b.Dir, "config.ext4")
	fat := disk.FAT{Label: "VOSBED", ID: bootID, Size: bootSize, Files: boot, Time: b.Time}
	if err := fat.Write(ctx, bootImage, b.Dir); err != nil {
		return "", err
	}
	ext4 := disk.Ext4{Label: guest.ConfigPartition, UUID: configUUID, Size: configSize, Time: b.Time}
	if err := ext4.Write(ctx, configImage); err != nil {
		return "", err
	}
	code, core, err := b.grub(ctx)
	if err != nil {
		return "", err
	}
	at := filepath.Join(b.Dir, "vosbed-"+b.Version+".raw")
	err = disk.Disk{GUID: diskGUID, Size: DiskSize, Boot: code, Core: core, Partitions: []disk.Partition{
		{Name: "vosbed-bios", Type: disk.TypeBIOS, GUID: biosGUID, Size: biosSize},
		{Name: slots.BootPartition, Type: disk.TypeESP, GUID: bootGUID, Size: bootSize, Image: bootImage},
		{Name: guest.ConfigPartition, Type: disk.TypeLinux, GUID: configGUID, Size: configSize, Image: configImage},
	}}.Write(at)
	if err != nil {
		return "", err
	}
	for _, scratch := range []string{bootImage, configImage} {
		if err := os.Remove(scratch); err != nil {
			return "", fmt.Errorf("tidy up: %w", err)
		}
	}
	return at, nil
}
