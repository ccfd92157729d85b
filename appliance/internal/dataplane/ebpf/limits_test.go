package ebpf

import (
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/vosbed/vosbed/appliance/lb"
)

// TestLimitsAreTheKernels holds the limits of the vocabulary to those of the programs.
func TestLimitsAreTheKernels(t *testing.T) {
	text, err := os.ReadFile("bpf/consts.h")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{
		"MAX_VIPS": lb.MaxVIPs, "MAX_SERVICES": lb.MaxServices, "MAX_SHARED": lb.MaxShared,
		"MAX_ROSTER": lb.MaxRealServers, "MAX_REALS": lb.MaxAllRealServers,
	} {
		found := regexp.MustCompile(`(?m)^#define ` + name + ` (\d+)\b`).FindSubmatch(text)
		if found == nil {
			t.Errorf("%s is not in bpf/consts.h", name)
			continue
		}
		if got, _ := strconv.Atoi(string(found[1])); got != want {
			t.Errorf("%s is %d in bpf/consts.h and %d in Go", name, got, want)
		}
	}
}

// TestCheckNets: what is kept from a configuration is what the engine uses.
func TestCheckNets(t *testing.T) {
	for i, net := range lb.CheckNets() {
		last := checkAddr(lb.MaxAllRealServers-1, i == 1)
		before := net.Addr().Prev()
		if !net.Contains(checkAddr(0, i == 1)) || !net.Contains(last) || !isCheckAddr(net.Addr()) || !isCheckAddr(last) {
			t.Errorf("%s does not hold the check addresses", net)
		}
		if net.Contains(before) || isCheckAddr(before) {
			t.Errorf("%s is beside the check addresses", before)
		}
	}
	if isCheckAddr(netip.MustParseAddr("198.20.0.0")) {
		t.Error("198.20.0.0 follows the check addresses")
	}
}
