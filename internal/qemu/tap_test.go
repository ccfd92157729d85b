package qemu

import (
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/internal/testenv"
)

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
