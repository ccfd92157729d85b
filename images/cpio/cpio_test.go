package cpio_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/images/cpio"
	"github.com/vosbed/vosbed/internal/testenv"
)

func archive(t *testing.T, entries ...cpio.Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := cpio.NewWriter(&b, 1)
	for _, e := range entries {
		if err := w.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchive(t *testing.T) {
	entries := []cpio.Entry{
		{Path: "/init", Mode: 0o755, Data: []byte("abc")},
		{Path: "/etc/a/b", Mode: 0o600, Data: []byte("12345678")},
		{Path: "/bin/sh", Mode: fs.ModeSymlink | 0o777, Data: []byte("busybox")},
		{Path: "/dev/console", Mode: fs.ModeCharDevice | 0o600, Major: 5, Minor: 1},
		{Path: "/etc/a", Mode: fs.ModeDir | 0o755}, // there already, as a directory may be
	}
	got := archive(t, entries...)
	if again := archive(t, entries...); !bytes.Equal(got, again) {
		t.Error("equal contents gave other bytes")
	}
	if len(got)%cpio.Align != 0 {
		t.Errorf("%d bytes: not padded", len(got))
	}
	if !bytes.HasPrefix(got, []byte("070701")) || !bytes.Contains(got, []byte("TRAILER!!!")) {
		t.Error("no archive")
	}
}

func TestArchiveIsUnpackedByCpio(t *testing.T) {
	testenv.RequireTool(t, "cpio")
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "cpio", "-idm", "--quiet")
	cmd.Dir = dir
	cmd.Stdin = bytes.NewReader(archive(t,
		cpio.Entry{Path: "/etc/motd", Mode: 0o640, Data: []byte("hello\n")},
		cpio.Entry{Path: "/bin/sh", Mode: fs.ModeSymlink | 0o777, Data: []byte("busybox")}))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "etc/motd"))
	if err != nil || string(data) != "hello\n" {
		t.Errorf("etc/motd holds %q: %v", data, err)
	}
	if to, err := os.Readlink(filepath.Join(dir, "bin/sh")); err != nil || to != "busybox" {
		t.Errorf("bin/sh leads to %q: %v", to, err)
	}
}

func TestMistakes(t *testing.T) {
	w := cpio.NewWriter(new(bytes.Buffer), 0)
	if err := w.Add(cpio.Entry{Path: "/a", Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	for _, e := range []cpio.Entry{{Path: "relative"}, {Path: "/"}, {Path: "/a"}, {Path: "/x/../a"}} {
		if err := w.Add(e); err == nil || !strings.HasPrefix(err.Error(), "archive: ") {
			t.Errorf("%q: %v", e.Path, err)
		}
	}
}
