package vm

import (
	"net"
	"os"
	"strings"
	"testing"
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
