package matrix_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/images/vm"
	"github.com/vosbed/vosbed/internal/testenv"
	"github.com/vosbed/vosbed/internal/uefi"
)

// unsignedVersion is a version whose system has no signature for Secure Boot.
const unsignedVersion = "0.1.3"

// TestSecureBoot has a firmware without keys take the owner's from the disk, and starts the
// image there. An update that is signed with them stays; one that is not is refused while it
// is sent: a firmware that refuses it would wait at its menu.
func TestSecureBoot(t *testing.T) {
	at, good := updates(t)
	port := freePort(t)
	v, _ := start(t, vm.Options{
		Disk: enrolling(t, at), Seed: seed(t, benchConfig), UEFI: true, SecureBoot: true, Hardware: vm.Hardwares()[0], HTTPS: port, MemoryMB: 1024,
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*updatePatience)
	defer cancel()
	answers(ctx, t, port, time.Now())
	logIn(ctx, t, port)
	if !strings.Contains(v.Said(), "Enrolling secure boot keys") {
		t.Errorf("the firmware has got no keys:\n%s", v.Said())
	}
	began := install(ctx, t, port, good)
	st := settled(ctx, t, port, v, func(u api.Update) bool { return u.Version == goodVersion && proven(u) })
	t.Logf("serves and is proven %.1f s after the restart into %s", time.Since(began).Seconds(), st.Version)
	f, err := os.Open(unsigned(t, good))
	must(t, err)
	defer f.Close()
	_, err = client(ctx, t, port).InstallUpdate(ctx, api.UpdateFiles{Archive: f})
	if err == nil || !strings.Contains(err.Error(), "it has no signature") {
		t.Errorf("what the firmware would not start is installed: %v", err)
	}
	st = settled(ctx, t, port, v, func(api.Update) bool { return true })
	if st.Version != goodVersion || st.Restart != "" || len(st.Slots) != 2 {
		t.Errorf("after it: %+v", st)
	}
}

// enrolling is a disk whose boot loader gives a firmware in Setup Mode the keys without
// asking. On the image as it is a person chooses that in a menu.
func enrolling(t *testing.T, at string) string {
	t.Helper()
	dir := t.TempDir()
	raw, disk, conf := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "loader.conf")
	if err := os.WriteFile(conf, []byte("timeout 0\neditor no\nsecure-boot-enroll force\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const bootPartition = "@@2M" // after the table and the BIOS's boot loader
	for _, argv := range [][]string{
		{"qemu-img", "convert", "-O", "raw", at, raw},
		{"mcopy", "-o", "-i", raw + bootPartition, conf, "::loader/loader.conf"},
		{"qemu-img", "convert", "-O", "qcow2", raw, disk},
	} {
		out, err := exec.CommandContext(t.Context(), testenv.RequireTool(t, argv[0]), argv[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", argv, err, out)
		}
	}
	return disk
}

// unsigned is an update, rightly signed as such, whose system is whole and has no signature
// for Secure Boot.
func unsigned(t *testing.T, good string) string {
	t.Helper()
	archive, err := os.ReadFile(good)
	must(t, err)
	system := systemOf(t, archive)
	plain, signatures, err := uefi.Split(system)
	if err != nil || len(signatures) == 0 {
		t.Fatalf("the system has %d bytes of signatures: %v", len(signatures), err)
	}
	at := filepath.Join(t.TempDir(), "unsigned.update")
	write(t, at, unsignedVersion, plain, ownKey(t))
	return at
}
