package guest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/vosbed/vosbed/images/uki"
	"github.com/vosbed/vosbed/internal/slots/testuki"
)

// part makes a later part; a name that ends with a slash is a directory.
func part(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for name, text := range files {
		kind := byte(tar.TypeReg)
		if strings.HasSuffix(name, "/") {
			kind = tar.TypeDir
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: kind, Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTheLaterPart: the part of the running system is found in whatever slot it lies, and
// nothing else is unpacked.
func TestTheLaterPart(t *testing.T) {
	mine, other := part(t, map[string]string{"usr/bin/tool": "tool"}), part(t, map[string]string{"usr/bin/tool": "another"})
	for name, tt := range map[string]struct {
		slots map[string][]byte
		ok    bool
	}{
		"in a":                {map[string][]byte{"a": mine, "b": other}, true},
		"in b":                {map[string][]byte{"a": other, "b": mine}, true},
		"no other slot":       {map[string][]byte{"b": mine}, true},
		"an older image":      {map[string][]byte{"a": nil, "b": mine}, true},
		"another system's":    {map[string][]byte{"a": other}, false},
		"nothing on it":       {nil, false},
		"one byte is flipped": {map[string][]byte{"a": append(bytes.Clone(mine), 0)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			boot, root := t.TempDir(), t.TempDir()
			for slot, data := range tt.slots {
				image := testuki.Make("kernel", "ram")
				if data != nil {
					var err error
					if image, err = uki.Build(image, uki.Section{Name: LaterSection, Data: data}); err != nil {
						t.Fatal(err)
					}
				}
				write(t, filepath.Join(boot, slot, "vosbed.efi"), image)
			}
			write(t, filepath.Join(root, LaterSum), []byte(SumOf(mine)))
			err := unpackLater(boot, root)
			got, _ := os.ReadFile(filepath.Join(root, "usr/bin/tool"))
			if (err == nil) != tt.ok || (string(got) == "tool") != tt.ok {
				t.Errorf("%v, unpacked %q", err, got)
			}
		})
	}
}

func write(t *testing.T, at string, data []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyFilesInTheSystemAreUnpacked(t *testing.T) {
	for _, name := range []string{"../out", "/etc/passwd", "dir/"} {
		root := t.TempDir()
		if err := extract(bytes.NewReader(part(t, map[string]string{name: ""})), filepath.Join(root, "in")); err == nil {
			t.Errorf("%q was unpacked", name)
		}
		if left, _ := os.ReadDir(root); len(left) != 0 {
			t.Errorf("%q left %v", name, left)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte("\x28\xb5\x2f\xfd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		root := t.TempDir()
		_ = extract(bytes.NewReader(data), filepath.Join(root, "in"))
		if left, _ := os.ReadDir(root); len(left) > 1 {
			t.Errorf("it left the system: %v", left)
		}
	})
}
