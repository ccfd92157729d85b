package formats

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/vosbed/vosbed/internal/testenv"
)

const testSize = 41<<20 + 3*sector

// testDisk writes a small disk with data at its beginning, at its end and between, of
// which some packs well and some does not.
func testDisk(t *testing.T, dir string) string {
	t.Helper()
	at := filepath.Join(dir, "small.raw")
	f, err := os.Create(at)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 200<<10)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	text := bytes.Repeat([]byte("a load balancer "), 9000)
	for at, data := range map[int64][]byte{0: text[:sector], 3<<20 - 777: text, 9 << 20: noise, 30<<20 + 5: noise[:9], testSize - sector: noise[:sector]} {
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return at
}

func made(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files, err := Make(t.Context(), testDisk(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		data, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if f.Size <= 0 || f.Size > 8<<20 {
			t.Errorf("%s takes %d bytes", f.Path, f.Size)
		}
		out[filepath.Base(f.Path)] = data
	}
	return out
}

func TestMakeTwice(t *testing.T) {
	t.Parallel()
	testenv.RequireTool(t, "qemu-img")
	first, second := made(t, t.TempDir()), made(t, t.TempDir())
	if len(first) != len(kinds()) {
		t.Errorf("made %d formats, want %d", len(first), len(kinds()))
	}
	for name, data := range first {
		if !bytes.Equal(data, second[name]) {
			t.Errorf("%s: the second run gave other bytes", name)
		}
	}
}

// TestHolesDoNotShow has the same content without a hole: another file system may have none.
func TestHolesDoNotShow(t *testing.T) {
	t.Parallel()
	testenv.RequireTool(t, "qemu-img")
	sparse := made(t, t.TempDir())
	dir := t.TempDir()
	raw := testDisk(t, dir)
	data, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err = os.WriteFile(raw, data, 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := Make(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		got, err := os.ReadFile(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, sparse[filepath.Base(f.Path)]) {
			t.Errorf("%s: a full file gave other bytes than a sparse one", f.Path)
		}
	}
}

func TestQemuAgrees(t *testing.T) {
	t.Parallel()
	testenv.RequireTool(t, "qemu-img")
	raw := testDisk(t, t.TempDir())
	files, err := Make(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files[1:] {
		format := strings.TrimPrefix(filepath.Ext(f.Path), ".")
		for _, args := range [][]string{
			{"check", "-f", format, f.Path},
			{"compare", "-f", "raw", "-F", format, raw, f.Path},
		} {
			out, err := exec.CommandContext(t.Context(), "qemu-img", args...).CombinedOutput()
			if err != nil || strings.Contains(string(out), "leak") {
				t.Errorf("qemu-img %v: %v: %s", args, err, out)
			}
		}
	}
}

func TestCompressUnpacks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw, at := testDisk(t, dir), filepath.Join(dir, "small.raw.zst")
	if err := compress(t.Context(), raw, at); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	got, err := io.ReadAll(dec)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("unpacked %d bytes, %v; want the %d of the disk", len(got), err, len(want))
	}
	tool := testenv.RequireTool(t, "zstd")
	if got, err = exec.CommandContext(t.Context(), tool, "-q", "-d", "-c", at).Output(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("zstd unpacked %d bytes, %v; want the %d of the disk", len(got), err, len(want))
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Make(t.Context(), filepath.Join(dir, "disk.img")); err == nil || !strings.Contains(err.Error(), RawSuffix) {
		t.Errorf("a disk of another name: %v", err)
	}
	if _, err := Make(t.Context(), filepath.Join(dir, "missing.raw")); err == nil {
		t.Error("a missing disk was converted")
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Make(stopped, testDisk(t, dir)); err == nil {
		t.Error("a stopped run succeeded")
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{filepath.Join(dir, "small.raw")}, left); diff != "" {
		t.Errorf("files after failures (-want +got):\n%s", diff)
	}
}

// TestSettleRefuses: what is not of the format is never written to.
func TestSettleRefuses(t *testing.T) {
	t.Parallel()
	for name, settle := range map[string]func(*os.File) error{"vdi": settleVDI, "vmdk": settleVMDK, "vhdx": settleVHDX} {
		for _, size := range []int{0, 10, 1 << 20} {
			at := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(at, make([]byte, size), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := os.OpenFile(at, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if settle(f) == nil {
				t.Errorf("%s: %d zeros were taken for an image", name, size)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestDescribePadsTheIdentity(t *testing.T) {
	t.Parallel()
	head := "# Disk DescriptorFile\nversion=1\n"
	tail := "parentCID=ffffffff\n"
	short := []byte(head + "CID=abc\n" + tail + "RW 9 SPARSE \"a name of the machine.vmdk\"\n" + "\x00n\n" + strings.Repeat("\x00", 99)) // and what a longer one left
	got, err := describe(short, "00000abc")
	if err != nil {
		t.Fatal(err)
	}
	want := head + "CID=00000abc\n" + tail + "RW 9 SPARSE \"vosbed.vmdk\"\n"
	if diff := cmp.Diff(want, strings.TrimRight(string(got), "\x00")); diff != "" || len(got) != len(short) {
		t.Errorf("%d bytes instead of %d (-want +got):\n%s", len(got), len(short), diff)
	}
	if _, err := describe([]byte("CID=1\n"), "00000001"); err == nil {
		t.Error("a descriptor without room was taken")
	}
}
