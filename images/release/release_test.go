package release

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
	"github.com/vosbed/vosbed/internal/testenv"
)

func newKey(t *testing.T) minisign.SecretKey {
	t.Helper()
	k, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func options(k minisign.SecretKey) Options {
	return Options{Name: "vosbed", Version: "1.2.3", User: "loadbalancer", Key: k}
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// images makes a folder with one image of every kind.
func images(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for suffix := range uses() {
		put(t, dir, "vosbed-1.2.3"+suffix, "image "+suffix)
	}
	return dir
}

func released(t *testing.T, k minisign.SecretKey) string {
	t.Helper()
	dir := images(t)
	if err := Write(dir, options(k)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out[e.Name()] = string(text)
	}
	return out
}

// TestIndex: appliances find the update of a release on any web server, and only there.
func TestIndex(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	there := content(t, released(t, k))
	x, err := bundle.OpenIndex([]byte(there[bundle.IndexName]), []byte(there[bundle.IndexSignatureName]), k.Public())
	if err != nil || x.Version != "1.2.3" || x.File != "vosbed-1.2.3.update" || x.Size != int64(len(there[x.File])) || !strings.Contains(there[Sums], x.SHA256+"  "+x.File) || x.Notes == "" {
		t.Errorf("%+v, %v", x, err)
	}
	dir := t.TempDir()
	put(t, dir, "vosbed-1.2.3.qcow2", "image")
	if err := Write(dir, options(k)); err != nil {
		t.Fatal(err)
	}
	if _, is := content(t, dir)[bundle.IndexName]; is {
		t.Error("there is an index without an update")
	}
}

func TestWriteTwice(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	dir := released(t, k)
	first := content(t, dir)
	if diff := cmp.Diff(first, content(t, released(t, k))); diff != "" {
		t.Errorf("another folder (-first +second):\n%s", diff)
	}
	// Over itself, too: what was made before is made again.
	if err := Write(dir, options(k)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, content(t, dir)); diff != "" {
		t.Errorf("the same folder (-first +second):\n%s", diff)
	}
	if len(first) != len(uses())+6 {
		t.Errorf("%d files", len(first))
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	dir := released(t, k)
	if err := Verify(dir, k.Public()); err != nil {
		t.Error(err)
	}
	if err := Verify(dir, newKey(t).Public()); !errors.Is(err, minisign.ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	remove := func(name string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, dir, "vosbed-1.2.3.qcow2", "image .qcow3")
	put(t, dir, ReadMe, "trust me")
	put(t, dir, "b.txt", "")
	put(t, dir, "a\x1b[2J", "")
	remove("vosbed-1.2.3.vdi")
	remove("vosbed-1.2.3.ova")
	remove("vosbed-1.2.3.vmdk")
	if err := os.Symlink("vosbed-1.2.3.vhdx", filepath.Join(dir, "vosbed-1.2.3.vmdk")); err != nil {
		t.Fatal(err)
	}
	err := Verify(dir, k.Public())
	got, ok := errors.AsType[*DifferenceError](err)
	if !ok {
		t.Fatalf("a changed folder: %v", err)
	}
	want := &DifferenceError{
		Missing: []string{"vosbed-1.2.3.ova", "vosbed-1.2.3.vdi"},
		Surplus: []string{`"a\x1b[2J"`, "b.txt"},
		Changed: []string{ReadMe, "vosbed-1.2.3.qcow2", "vosbed-1.2.3.vmdk"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, name := range []string{"vosbed-1.2.3.ova", "b.txt", ReadMe} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

func TestVerifyNeedsTheSignature(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	dir := released(t, k)
	list := content(t, dir)[Sums]
	put(t, dir, Sums, strings.Replace(list, "vdi", "vdj", 1))
	if err := Verify(dir, k.Public()); !errors.Is(err, minisign.ErrChanged) {
		t.Errorf("a changed list: %v", err)
	}
	put(t, dir, Sums, strings.Repeat("x", maxSums+1))
	if err := Verify(dir, k.Public()); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("an endless list: %v", err)
	}
	err := Verify(t.TempDir(), k.Public())
	if err == nil || !strings.Contains(err.Error(), Sums) || !strings.Contains(err.Error(), Signature) {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	dir := images(t)
	put(t, dir, "vosbed-1.2.3.raw", "")
	put(t, dir, "vosbed-1.2.2.vdi", "")
	put(t, dir, "notes", "")
	err := Write(dir, options(k))
	if err == nil {
		t.Fatal("surplus files were released")
	}
	for _, name := range []string{"vosbed-1.2.3.raw", "vosbed-1.2.2.vdi", "notes"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if got := content(t, dir); got[ReadMe]+got[Sums] != "" {
		t.Error("a release was written all the same")
	}
	if err := Write(t.TempDir(), options(k)); err == nil {
		t.Error("an empty folder was released")
	}
}

// TestTools has the tools that the ReadMe names verify a release.
func TestTools(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	dir := released(t, k)
	for _, args := range [][]string{
		{testenv.RequireTool(t, "minisign"), "-V", "-P", k.Public().String(), "-m", Sums},
		{testenv.RequireTool(t, "minisign"), "-V", "-p", PublicKey, "-m", Sums},
		{"sha256sum", "--check", "--strict", "--ignore-missing", Sums},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
}

func TestReadMe(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	text := content(t, released(t, k))[ReadMe]
	for suffix, use := range uses() {
		if !strings.Contains(text, "vosbed-1.2.3"+suffix+" ") || !strings.Contains(text, use) {
			t.Errorf("the ReadMe does not name %s", suffix)
		}
	}
	for _, part := range []string{"VMware", "VirtualBox", "Hyper-V", "KVM", "Xen", "Nutanix", ":9443/lbadmin/", "loadbalancer", k.Public().String()} {
		if !strings.Contains(text, part) {
			t.Errorf("the ReadMe says nothing of %s", part)
		}
	}
	for number, line := range strings.Split(text, "\n") {
		if strings.TrimRight(line, " \t") != line || strings.Contains(line, "<no value>") {
			t.Errorf("line %d: %q", number+1, line)
		}
	}
	if strings.Contains(text, "\n\n\n") {
		t.Error("the ReadMe has two empty lines together")
	}
	// Of what is not there it says nothing.
	dir := t.TempDir()
	put(t, dir, "vosbed-1.2.3.qcow2", "")
	if err := Write(dir, options(k)); err != nil {
		t.Fatal(err)
	}
	few := content(t, dir)[ReadMe]
	if strings.Contains(few, "Hyper-V\n") || strings.Contains(few, ".update") || strings.Contains(few, "\n\n\n") || !strings.Contains(few, "Proxmox") {
		t.Errorf("the ReadMe of one image:\n%s", few)
	}
}

func TestParseSumsRefuses(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0a", 32)
	for _, text := range []string{
		"", "\n", sum + "\n", sum + "  \n", sum + " name\n", sum[2:] + "  name\n", "zz" + sum[2:] + "  name\n",
		sum + "  ../name\n", sum + "  a/b\n", sum + "  .\n", sum + "  ..\n", sum + "  a\x1bb\n", sum + "  a\n" + sum + "  a\n",
	} {
		if got, err := parseSums([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
	_, err := parseSums([]byte("x\n" + sum + "  good\ny\n"))
	if err == nil || !strings.Contains(err.Error(), Sums+":1:") || !strings.Contains(err.Error(), Sums+":3:") {
		t.Errorf("two wrong lines: %v", err)
	}
}

func FuzzParseSums(f *testing.F) {
	f.Add([]byte(strings.Repeat("0a", 32) + "  name\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseSums(text)
		if err != nil {
			return
		}
		again, err := parseSums(got.encode())
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", text, err, diff)
		}
	})
}
