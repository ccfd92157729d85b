package slots

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/internal/testenv"
)

func TestRunningVersion(t *testing.T) {
	at := filepath.Join(t.TempDir(), "os-release")
	for text, want := range map[string]string{"NAME=x\nVERSION_ID=1.2.0\n": "1.2.0", "VERSION_ID=\"12\"": "12", "VERSION_ID='1.0'": "1.0", "NAME=x": ""} {
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := RunningVersion(at); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if _, err := RunningVersion(at + ".no"); err == nil {
		t.Error("no file gives a version")
	}
}

func TestMountingElsewhere(t *testing.T) {
	if Device(BootPartition) != "" {
		t.Skip("this machine starts from an image of the appliance")
	}
	err := Mounting(t.TempDir())(func(Partition) error { return errors.New("used") })
	if err == nil || !strings.Contains(err.Error(), "no disk has the partition vosbed-boot") {
		t.Errorf("%v", err)
	}
}

// TestRepair: what the power took from a file comes back, and nothing else goes.
func TestRepair(t *testing.T) {
	fsck, mkfs, mcopy, mdir := testenv.RequireTool(t, "fsck.fat"), testenv.RequireTool(t, "mkfs.vfat"), testenv.RequireTool(t, "mcopy"), testenv.RequireTool(t, "mdir")
	run := func(argv ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput()
		return string(out), err
	}
	dir := t.TempDir()
	disk, file := filepath.Join(dir, "disk"), filepath.Join(dir, "vosbed.efi")
	must(t, os.WriteFile(file, make([]byte, 1<<20), 0o600))
	for _, argv := range [][]string{{mkfs, "-F", "32", "-C", disk, "65536"}, {mcopy, "-i", disk, file, "::kept.efi"}, {mcopy, "-i", disk, file, "::vosbed.efi"}} {
		if out, err := run(argv...); err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
	data, err := os.ReadFile(disk)
	must(t, err)
	data[bytes.Index(data, []byte("VOSBED  EFI"))] = 0xe5 // its entry is gone, and its clusters are not free
	must(t, os.WriteFile(disk, data, 0o600))
	out, err := run(fsck, "-a", "-w", disk)
	if status, ok := errors.AsType[*exec.ExitError](err); !ok || status.ExitCode() != 1 || !strings.Contains(out, "1048576 bytes") {
		t.Fatalf("%v: %s", err, out)
	}
	p := Partition{Dir: filepath.Join(dir, "mounted")}
	must(t, os.Mkdir(p.Dir, 0o700))
	list, err := run(mdir, "-b", "-i", disk, "::")
	must(t, err)
	for line := range strings.Lines(list) { // as it would be mounted
		must(t, os.WriteFile(p.at(strings.TrimPrefix(strings.TrimSpace(line), "::/")), nil, 0o600))
	}
	must(t, p.discardFound())
	left, err := os.ReadDir(p.Dir)
	if err != nil || len(left) != 1 || left[0].Name() != "kept.efi" {
		t.Errorf("%v, %v, of %s", left, err, list)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
