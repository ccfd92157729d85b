package machine_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/harness/machine"
)

func TestArgs(t *testing.T) {
	t.Parallel()
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0x94, 0, 1, 0, last} }
	args := machine.Args(machine.Options{
		Disk: "/run/lb1/disk.qcow2", Seed: "/run/lb1/seed.img", Console: "/run/logs/lb1.console",
		Cards: []machine.Card{{mac(0x10), 3}, {mac(0x11), 4}},
	})
	text := strings.Join(args, " ")
	for _, want := range []string{
		"file=/run/lb1/disk.qcow2", "readonly=on,file=/run/lb1/seed.img", "append=on,path=/run/logs/lb1.console",
		"-netdev tap,id=net0,fd=3 -device virtio-net-pci,netdev=net0,mac=02:94:00:01:00:10,romfile=",
		"-netdev tap,id=net1,fd=4 -device virtio-net-pci,netdev=net1,mac=02:94:00:01:00:11,romfile=",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	// Nothing but the taps leads out of it, and it stays off when the guest reboots.
	if strings.Contains(text, "user,") || strings.Contains(text, "ifname=") || !slices.Contains(args, "-no-reboot") {
		t.Errorf("%s", text)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := machine.Find(dir); err == nil || !strings.Contains(err.Error(), "make image") {
		t.Errorf("%v", err)
	}
	at := filepath.Join(dir, "vosbed-1.qcow2")
	for _, name := range []string{at, filepath.Join(dir, "vosbed-2.qcow2")} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		found, err := machine.Find(dir)
		if name == at && (err != nil || found != at) || name != at && err == nil {
			t.Errorf("%q, %v", found, err)
		}
	}
}
