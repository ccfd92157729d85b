package recipe

import (
	"bytes"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/images/debian"
)

func TestLibraries(t *testing.T) {
	all := map[string]library{
		"liba.so.1": {[]byte("a"), []string{"libb.so.2", "libc.so.6"}},
		"libb.so.2": {[]byte("b"), []string{"liba.so.1"}}, // a circle ends
		"libc.so.6": {[]byte("c"), []string{linkerName}},
		linkerName:  {[]byte("ld"), nil},
		"libz.so.9": {[]byte("z"), nil},
	}
	tr := newTree()
	if err := link(tr, all, []string{"liba.so.1"}); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]bool{
		libraryDir + "liba.so.1": true, libraryDir + "libb.so.2": true, libraryDir + "libc.so.6": true, linker: true, libraryDir + "libz.so.9": false,
	} {
		if _, got := tr.entries[at]; got != want {
			t.Errorf("%s is there: %v", at, got)
		}
	}
	err := link(newTree(), all, []string{"libx.so.1", "liby.so.1"})
	if err == nil || !strings.Contains(err.Error(), "libx.so.1") || !strings.Contains(err.Error(), "liby.so.1") {
		t.Errorf("not every missing library is told: %v", err)
	}
}

// TestNamesInTheSystem: what the configuration of one part of the system names is in another.
func TestNamesInTheSystem(t *testing.T) {
	etc := etc("1.2.3")
	for _, user := range []string{"root:x:0:0:", "sshd:x:991:991:", "vosbed-web:x:990:990:"} {
		if !strings.Contains(etc["/etc/passwd"], user) {
			t.Errorf("passwd has no %s", user)
		}
	}
	if !strings.Contains(etc["/etc/os-release"], "VERSION_ID=1.2.3\n") {
		t.Errorf("os-release is %q", etc["/etc/os-release"])
	}
}

func TestTheLockHasWhatIsBuiltIn(t *testing.T) {
	lock, err := debian.ReadLock("../lock.json")
	if err != nil {
		t.Fatal(err)
	}
	needed := []string{kernelPackage, "systemd-boot-efi", "grub-pc-bin", "busybox-static", "tzdata"}
	for pkg := range programs() {
		needed = append(needed, pkg)
	}
	for _, name := range needed {
		if _, err := lock.Find(name); err != nil {
			t.Error(err)
		}
	}
}

func TestPack(t *testing.T) {
	pack := func(order ...string) []byte {
		tr := newTree()
		for _, at := range order {
			tr.file(at, 0o644, []byte(at))
		}
		tr.link("/bin/ls", "busybox")
		b, err := tr.pack(1_700_000_000)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, two := pack("/a", "/b", "/c"), pack("/c", "/a", "/b")
	if !bytes.Equal(one, two) {
		t.Error("the same files in another order gave other bytes")
	}
	if len(one) == 0 || bytes.Equal(one, pack("/a", "/b")) {
		t.Error("other files gave the same bytes")
	}
}

func TestEveryHardwareHasAModuleNamed(t *testing.T) {
	all := slices.Concat(hardware(), system(), rare())
	for _, want := range []string{"virtio_blk", "virtio_net", "vmw_pvscsi", "vmxnet3", "ahci", "e1000", "hv_netvsc", "ext4", "vfat", "ip_vs", "8021q"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is not in the image", want)
		}
	}
	sorted := slices.Clone(all)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != len(all) {
		t.Error("a module is named twice")
	}
	for at, want := range map[string]bool{"drivers/gpu/drm/drm.ko": true, "net/netfilter/ipvs/ip_vs.ko": false, "drivers/net/vmxnet3/vmxnet3.ko": false} {
		if elsewhere(at) != want {
			t.Errorf("%s is left out: %t", at, !want)
		}
	}
}

func TestModes(t *testing.T) {
	tr := newTree()
	tr.file("/x", 0o755, nil)
	tr.link("/y", "x")
	if tr.entries["/x"].Mode != 0o755 || tr.entries["/y"].Mode&fs.ModeSymlink == 0 {
		t.Errorf("%v", tr.entries)
	}
}

func TestGRUBIsToldOnlyWhatItsFirstParserKnows(t *testing.T) {
	text := grubEarly()
	for line := range strings.Lines(text) {
		if verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); !slices.Contains([]string{"search", "set", "normal"}, verb) {
			t.Errorf("the rescue parser does not know %q", verb)
		}
	}
	if !strings.Contains(text, "--fs-uuid 76F5-B0D5") {
		t.Errorf("it looks for another partition: %s", text)
	}
}
