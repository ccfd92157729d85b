package vm_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/images/vm"
	"github.com/vosbed/vosbed/internal/testenv"
)

// bootSector writes "hi" on the first serial line by the BIOS, reads a key, writes it back,
// and stops: a machine of 512 bytes.
func bootSector() []byte {
	code := []byte{
		0xba, 0xf8, 0x03, // mov dx, 0x3f8 (the first serial port)
		0xb0, 'h', 0xee, // mov al, 'h'; out dx, al
		0xb0, 'i', 0xee, // mov al, 'i'; out dx, al
		0xba, 0xfd, 0x03, // wait: mov dx, 0x3fd (line status)
		0xec, 0xa8, 0x01, // in al, dx; test al, 1 (data ready)
		0x74, 0xf8, // jz wait
		0xba, 0xf8, 0x03, 0xec, // mov dx, 0x3f8; in al, dx
		0xee,             // out dx, al
		0xf4, 0xeb, 0xfd, // stop: hlt; jmp stop
	}
	sector := make([]byte, 1<<20)
	copy(sector, code)
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}

// TestACrashOfTheEmulator: a machine whose kernel the emulator has crashed is reset, again and
// again, and that is counted.
func TestACrashOfTheEmulator(t *testing.T) {
	testenv.RequireTool(t, "qemu-system-x86_64")
	var code []byte
	for _, c := range []byte("Oops: int3: 0000 [#1]\r\n") {
		code = append(code, 0xba, 0xf8, 0x03, 0xb0, c, 0xee) // mov dx, 0x3f8; mov al, c; out dx, al
	}
	sector := make([]byte, 1<<20)
	copy(sector, append(code, 0xf4, 0xeb, 0xfd)) // stop: hlt; jmp stop
	sector[510], sector[511] = 0x55, 0xaa
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, sector, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), vm.Patience)
	defer cancel()
	v, err := vm.Start(ctx, vm.Options{Disk: disk, Format: "raw", Snapshot: true, Restarts: true, Hardware: vm.Hardwares()[0], MemoryMB: 32, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Stop()
	for start := range 3 {
		if err := v.Wait(ctx, "[#1]"); err != nil {
			t.Fatal(err)
		}
		if n := v.Crashes(); n > start+1 {
			t.Errorf("start %d: %d crashes are counted", start+1, n)
		}
	}
	if n := v.Crashes(); n < 2 {
		t.Errorf("%d crashes are counted", n)
	}
}

func TestASerialLine(t *testing.T) {
	testenv.RequireTool(t, "qemu-system-x86_64")
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.WriteFile(disk, bootSector(), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), vm.Patience)
	defer cancel()
	v, err := vm.Start(ctx, vm.Options{Disk: disk, Format: "raw", Snapshot: true, Hardware: vm.Hardwares()[0], MemoryMB: 32, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Stop()
	if err := v.Wait(ctx, "hi"); err != nil {
		t.Fatal(err)
	}
	if err := v.Type("x"); err != nil {
		t.Fatal(err)
	}
	if err := v.Wait(ctx, "x"); err != nil {
		t.Fatal(err)
	}
	short, end := context.WithTimeout(ctx, 10*time.Millisecond)
	defer end()
	if err := v.Wait(short, "never"); err == nil || !strings.Contains(err.Error(), `did not say "never"`) {
		t.Errorf("%v", err)
	}
}

func TestWhatQEMURefusesIsTold(t *testing.T) {
	testenv.RequireTool(t, "qemu-system-x86_64")
	_, err := vm.Start(t.Context(), vm.Options{Disk: "/nonexistent/disk", Format: "raw", Hardware: vm.Hardwares()[0], MemoryMB: 32, Dir: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/disk") {
		t.Errorf("%v", err)
	}
}
