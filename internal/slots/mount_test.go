package slots

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
