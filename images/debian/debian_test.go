package debian_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/images/debian"
	"github.com/vosbed/vosbed/internal/testenv"
)

// pack makes a small package.
func pack(t *testing.T) string {
	t.Helper()
	testenv.RequireTool(t, "dpkg-deb")
	root := filepath.Join(t.TempDir(), "root")
	for name, text := range map[string]string{
		"DEBIAN/control": "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: nobody <n@example.org>\nDescription: tiny\n",
		"boot/vmlinuz-1": "kernel", "lib/a.ko": "module a", "lib/b.ko": "module b",
	} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	deb := filepath.Join(t.TempDir(), "tiny_1_all.deb")
	if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "--root-owner-group", "-b", root, deb).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return deb
}

func TestFiles(t *testing.T) {
	deb := pack(t)
	var got []string
	err := debian.Files(t.Context(), deb, func(p string) bool { return strings.HasSuffix(p, ".ko") },
		func(f debian.File) error { got = append(got, f.Path+"="+string(f.Data)); return nil })
	if err != nil || strings.Join(got, " ") != "/lib/a.ko=module a /lib/b.ko=module b" {
		t.Errorf("%v, %v", got, err)
	}
	one, err := debian.One(t.Context(), deb, func(p string) bool { return strings.HasPrefix(p, "/boot/") })
	if err != nil || string(one.Data) != "kernel" {
		t.Errorf("%v, %v", one, err)
	}
	if _, err := debian.One(t.Context(), deb, func(p string) bool { return strings.HasSuffix(p, ".ko") }); err == nil {
		t.Error("two files were taken for one")
	}
}

func TestAPackageIsWhatIsPinned(t *testing.T) {
	deb := pack(t)
	sum, err := debian.Sum(deb)
	if err != nil {
		t.Fatal(err)
	}
	cache := debian.Cache{Dir: filepath.Dir(deb)}
	p := debian.Package{Name: "tiny", Version: "1", Arch: "all", SHA256: sum}
	if got, err := cache.Get(t.Context(), p); err != nil || got != deb {
		t.Errorf("%s, %v", got, err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock.json")
	l := debian.Lock{Packages: []debian.Package{{Name: "linux-image-6.1.0-1-amd64", Version: "6", Arch: "amd64", SHA256: strings.Repeat("0", 64)}}}
	if err := l.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := debian.ReadLock(path)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := got.Find("linux-image-"); err != nil || p.Version != "6" {
		t.Errorf("%v, %v", p, err)
	}
	if _, err := got.Find("linux"); err == nil {
		t.Error("a part of a name is a name")
	}
	for _, text := range []string{"", "{", `{"packages":[{"name":"a"}]}`, `{"other":1}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := debian.ReadLock(path); err == nil {
			t.Errorf("%q was taken for a lock", text)
		}
	}
}
