package disk_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/images/disk"
	"github.com/vosbed/vosbed/internal/testenv"
)

const (
	anID    = "00000000-0000-4000-8000-0000000000A1"
	another = "00000000-0000-4000-8000-0000000000A2"
)

func small(t *testing.T) disk.Disk {
	t.Helper()
	image := filepath.Join(t.TempDir(), "part")
	if err := os.WriteFile(image, append(make([]byte, 8192), "contents"...), 0o600); err != nil {
		t.Fatal(err)
	}
	return disk.Disk{GUID: anID, Size: 16 << 20, Boot: bytes.Repeat([]byte{1}, 440), Core: bytes.Repeat([]byte{2}, 2048), Partitions: []disk.Partition{
		{Name: "boot code", Type: disk.TypeBIOS, GUID: anID, Size: 1 << 20},
		{Name: "files", Type: disk.TypeESP, GUID: another, Size: 4 << 20, Image: image},
	}}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	if err := small(t).Write(path); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b[510] != 0x55 || b[511] != 0xaa || b[450] != 0xee {
		t.Error("no protective MBR")
	}
	if at := binary.LittleEndian.Uint64(b[0x5c:]); at != 2048 {
		t.Errorf("the boot sector loads sector %d", at)
	}
	for _, at := range []int{512, len(b) - 512} {
		h := bytes.Clone(b[at : at+92])
		sum := binary.LittleEndian.Uint32(h[16:])
		copy(h[16:], []byte{0, 0, 0, 0})
		table := int(binary.LittleEndian.Uint64(h[72:])) * disk.Sector
		if !bytes.HasPrefix(h, []byte("EFI PART")) || sum != crc32.ChecksumIEEE(h) ||
			binary.LittleEndian.Uint32(h[88:]) != crc32.ChecksumIEEE(b[table:table+128*128]) {
			t.Errorf("the header at %d is damaged", at)
		}
	}
	if got := binary.LittleEndian.Uint64(b[1<<20+0x1f4:]); got != 2049 {
		t.Errorf("the boot loader goes on at sector %d", got)
	}
	if got := string(b[2<<20+8192 : 2<<20+8200]); got != "contents" {
		t.Errorf("the second partition holds %q", got)
	}
}

func TestWriteIsReadBySfdisk(t *testing.T) {
	testenv.RequireTool(t, "sfdisk")
	path := filepath.Join(t.TempDir(), "disk")
	if err := small(t).Write(path); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "sfdisk", "--verify", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No errors detected") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestMistakes(t *testing.T) {
	tests := map[string]func(*disk.Disk){
		"no multiple of 1 MiB": func(d *disk.Disk) { d.Partitions[0].Size = 1000 },
		"is no GUID":           func(d *disk.Disk) { d.Partitions[1].GUID = "x" },
		"the disk has":         func(d *disk.Disk) { d.Size = 4 << 20 },
		"name too long":        func(d *disk.Disk) { d.Partitions[0].Name = strings.Repeat("n", 40) },
		"larger than it": func(d *disk.Disk) {
			d.Partitions[1].Size = 1 << 20
			if err := os.Truncate(d.Partitions[1].Image, 2<<20); err != nil {
				t.Fatal(err)
			}
		},
	}
	for want, spoil := range tests {
		d := small(t)
		spoil(&d)
		if err := d.Write(filepath.Join(t.TempDir(), "disk")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestBootCode(t *testing.T) {
	sector := make([]byte, disk.Sector)
	sector[510], sector[511] = 0x55, 0xaa
	if _, _, err := disk.BootCode(sector, make([]byte, 4096)); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct{ boot, core []byte }{{nil, make([]byte, 4096)}, {make([]byte, disk.Sector), make([]byte, 4096)}, {sector, nil}} {
		if _, _, err := disk.BootCode(tt.boot, tt.core); err == nil {
			t.Error("no boot loader was taken for one")
		}
	}
}

func TestFAT(t *testing.T) {
	for _, program := range []string{"mkfs.vfat", "mcopy", "fsck.vfat"} {
		testenv.RequireTool(t, program)
	}
	dir := t.TempDir()
	at := time.Unix(1_700_000_000, 0)
	fat := disk.FAT{Label: "BOOT", ID: 0x1234, Size: 64 << 20, Time: at, Files: map[string][]byte{
		"/EFI/Linux/a.efi": []byte("program"), "/grub/grub.cfg": []byte("menu"),
	}}
	var images [][]byte
	for _, name := range []string{"one", "two"} {
		image := filepath.Join(dir, name)
		if err := fat.Write(t.Context(), image, dir); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, b)
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("equal files gave other bytes")
	}
	image := filepath.Join(dir, "one")
	if out, err := exec.CommandContext(t.Context(), "fsck.vfat", "-n", image).CombinedOutput(); err != nil {
		t.Errorf("fsck: %v: %s", err, out)
	}
	if got := read(t.Context(), t, image, "::/EFI/Linux/a.efi"); got != "program" {
		t.Errorf("the file holds %q", got)
	}
}

func read(ctx context.Context, t *testing.T, image, name string) string {
	t.Helper()
	out, err := exec.CommandContext(ctx, "mtype", "-i", image, name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
