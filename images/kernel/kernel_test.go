package kernel_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/images/kernel"
	"github.com/vosbed/vosbed/internal/testenv"
)

// module is an ELF file with nothing but what a module says of itself (elf(5)).
func module(info string) []byte {
	const names = "\x00.modinfo\x00.shstrtab\x00"
	head := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2}
	copy(head.Ident[:], "\x7fELF\x02\x01\x01")
	head.Shoff = 64 + uint64(len(info)+len(names))
	var b bytes.Buffer
	for _, part := range []any{
		head, []byte(info), []byte(names),
		elf.Section64{},
		elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 64, Size: uint64(len(info))},
		elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: 64 + uint64(len(info)), Size: uint64(len(names))},
	} {
		_ = binary.Write(&b, binary.LittleEndian, part)
	}
	return b.Bytes()
}

// pack makes a package of a kernel, its modules compressed or not.
func pack(t *testing.T, compress bool) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	run := func(program string, args ...string) {
		if out, err := exec.CommandContext(t.Context(), testenv.RequireTool(t, program), args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", program, err, out)
		}
	}
	for name, data := range map[string][]byte{
		"DEBIAN/control":                              []byte("Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: tiny\n"),
		"boot/vmlinuz-7":                              []byte("kernel"),
		"lib/modules/7/modules.builtin":               []byte("kernel/drivers/virtio/virtio_pci.ko\n"),
		"lib/modules/7/kernel/fs/ext4/ext4.ko":        module("depends=jbd2\x00softdep=pre: crc32c\x00"),
		"lib/modules/7/kernel/fs/jbd2/jbd2.ko":        module("depends=\x00"),
		"lib/modules/7/kernel/crypto/crc32c-sw.ko":    module("alias=crc32c\x00"),
		"lib/modules/7/kernel/drivers/gpu/drm/drm.ko": module("depends=\x00"),
	} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, data, 0o644); err != nil {
			t.Fatal(err)
		}
		if compress && strings.HasSuffix(at, ".ko") {
			run("xz", at)
		}
	}
	deb := filepath.Join(t.TempDir(), "tiny.deb")
	run("dpkg-deb", "--root-owner-group", "-b", root, deb)
	return deb
}

func TestUnpack(t *testing.T) {
	wanted := func(place string) bool { return !strings.HasPrefix(place, "drivers/gpu/") }
	for _, compress := range []bool{false, true} {
		k, err := kernel.Unpack(t.Context(), pack(t, compress), t.TempDir(), wanted)
		if err != nil {
			t.Fatal(err)
		}
		if string(k.Image) != "kernel" {
			t.Errorf("the kernel is %q", k.Image)
		}
		index, files, err := k.Modules("ext4", "virtio_pci")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range index.Modules {
			got = append(got, m.Name)
			if !bytes.HasPrefix(files[m.Path], []byte("\x7fELF")) {
				t.Errorf("%s holds %d bytes", m.Path, len(files[m.Path]))
			}
		}
		if !slices.Equal(got, []string{"jbd2", "crc32c_sw", "ext4"}) || len(files) != 3 {
			t.Errorf("%v, %d files", got, len(files))
		}
		if names := k.Names(func(place string) bool { return strings.HasPrefix(place, "crypto/") }); !slices.Equal(names, []string{"crc32c_sw"}) {
			t.Errorf("%v", names)
		}
		if _, _, err := k.Modules("drm"); err == nil {
			t.Error("a module that was left out is there")
		}
	}
}

func TestNoKernel(t *testing.T) {
	if _, err := kernel.Unpack(t.Context(), "/nonexistent.deb", t.TempDir(), func(string) bool { return true }); err == nil {
		t.Error("no package was unpacked")
	}
}
