package vm

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/internal/testenv"
)

func TestCards(t *testing.T) {
	mac := func(last byte) net.HardwareAddr { return net.HardwareAddr{0x52, 0x54, 0, 0, 0, last} }
	o := Options{Hardware: Hardwares()[2], Cards: []Card{{MAC: mac(1), Tap: os.Stdin}, {MAC: mac(2), Tap: os.Stdout}}, HTTPS: 1}
	args, err := o.args()
	got := strings.Join(args, " ")
	want := "-netdev tap,id=net0,fd=3 -device e1000,netdev=net0,romfile=,mac=52:54:00:00:00:01" +
		" -netdev tap,id=net1,fd=4 -device e1000,netdev=net1,romfile=,mac=52:54:00:00:00:02"
	if err != nil || !strings.Contains(got, want) || strings.Contains(got, "user,id=net") {
		t.Errorf("%s\n%v", got, err)
	}
	if taps := o.taps(); len(taps) != 2 || taps[0] != os.Stdin {
		t.Errorf("%v", taps)
	}
}

func TestNoCards(t *testing.T) {
	args, err := Options{Hardware: Hardwares()[0], HTTPS: 9443, Disc: "/d.iso"}.args()
	got := strings.Join(args, " ")
	for _, want := range []string{"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:9443-:9443", "media=cdrom,format=raw,readonly=on,file=/d.iso"} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("%s\nlacks %s; %v", got, want, err)
		}
	}
}

func TestTap(t *testing.T) {
	if _, err := os.Stat(tunDevice); err != nil {
		testenv.Missing(t, "tun", "this kernel gives no taps")
	}
	ns := testenv.NewNS(t)
	err := ns.Do(func() error {
		f, err := OpenTap("tap7")
		if err != nil {
			return err
		}
		if _, err = netlink.LinkByName("tap7"); err != nil {
			t.Errorf("it is not there: %v", err)
		}
		if err = f.Close(); err != nil {
			return err
		}
		if _, err = netlink.LinkByName("tap7"); err == nil {
			t.Error("it is there when nobody has it")
		}
		if _, err = OpenTap("a-name-that-is-too-long"); err == nil {
			t.Error("a name that is too long is taken")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
