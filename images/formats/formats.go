// Package formats turns the raw disk into what hypervisors take: a compressed raw disk,
// qcow2 (KVM, Xen, Nutanix AHV), vmdk (VMware), vhdx (Hyper-V) and vdi (VirtualBox). The
// same disk gives the same bytes in every format: what qemu-img draws at random (CID,
// UUIDs, log) is replaced by what follows from the content.
package formats

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// RawSuffix ends the name of a raw disk.
const RawSuffix = ".raw"

// File is an image that was made.
type File struct {
	Path string
	Size int64 // bytes that the file takes on this disk: holes take nothing
}

// kind is one format.
type kind struct {
	suffix string
	write  func(ctx context.Context, raw, at string) error
}

func kinds() []kind {
	return []kind{
		{".raw.zst", compress},
		{".qcow2", convert("qcow2", nil, "-c", "-o", "compression_type=zstd")},
		// ESXi takes stream-optimised disks only, and wants to know the adapter.
		{".vmdk", convert("vmdk", settleVMDK, "-o", "subformat=streamOptimized,adapter_type=lsilogic,hwversion=13")},
		{".vhdx", convert("vhdx", settleVHDX, "-o", "block_size=1M")}, // larger blocks triple the size
		{".vdi", convert("vdi", settleVDI)},
	}
}

// Make writes a raw disk in every format, beside it. A file appears under its name only
// when it is whole.
func Make(ctx context.Context, raw string) ([]File, error) {
	base, ok := strings.CutSuffix(raw, RawSuffix)
	if !ok {
		return nil, fmt.Errorf("make the formats of %s: its name does not end with %s", raw, RawSuffix)
	}
	var out []File
	for _, k := range kinds() {
		f, err := k.make(ctx, raw, base+k.suffix)
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", base+k.suffix, err)
		}
		out = append(out, f)
	}
	return out, nil
}

func (k kind) make(ctx context.Context, raw, at string) (File, error) {
	part := at + ".part"
	if err := k.write(ctx, raw, part); err != nil {
		return File{}, errors.Join(err, removed(part))
	}
	if err := os.Rename(part, at); err != nil {
		return File{}, err
	}
	info, err := os.Stat(at)
	if err != nil {
		return File{}, err
	}
	return File{Path: at, Size: allocated(info)}, nil
}

// removed removes a file that may be there.
func removed(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// convert has qemu-img write a format, one cluster after the other (-m 1: the order is
// part of the bytes), and settles what it drew at random.
func convert(format string, settle func(*os.File) error, options ...string) func(context.Context, string, string) error {
	return func(ctx context.Context, raw, at string) error {
		args := append([]string{"convert", "-m", "1", "-f", "raw", "-O", format}, options...)
		if text, err := exec.CommandContext(ctx, "qemu-img", append(args, raw, at)...).CombinedOutput(); err != nil {
			return fmt.Errorf("qemu-img: %w: %s", err, strings.TrimSpace(string(text)))
		}
		if settle == nil {
			return nil
		}
		f, err := os.OpenFile(at, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return errors.Join(settle(f), f.Close())
	}
}

// allocated is what a file takes in bytes.
func allocated(info os.FileInfo) int64 {
	const unit = 512 // of st_blocks (stat(2))
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * unit
	}
	return info.Size()
}
