package vip_test

import (
	"encoding/hex"
	"flag"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/vosbed/vosbed/appliance/internal/vip"
)

func mac() net.HardwareAddr { return net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0a} }

var update = flag.Bool("update", false, "rewrite testdata/frames.txt")

// TestFramesAreGolden compares every frame, byte for byte, with testdata/frames.txt.
func TestFramesAreGolden(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.168.94.110"), netip.MustParseAddr("fd00:94::110")
	got := "arp request\n" + hex.Dump(vip.GratuitousARP(mac(), v4, vip.ARPRequest)) +
		"arp reply\n" + hex.Dump(vip.GratuitousARP(mac(), v4, vip.ARPReply)) +
		"unsolicited na\n" + hex.Dump(vip.UnsolicitedNA(mac(), v6))
	if *update {
		if err := os.WriteFile("testdata/frames.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/frames.txt")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Error(d)
	}
}

// TestFramesDecode lets an independent decoder read the frames back.
func TestFramesDecode(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.168.94.110"), netip.MustParseAddr("fd00:94::110")
	p := gopacket.NewPacket(vip.GratuitousARP(mac(), v4, vip.ARPReply), layers.LayerTypeEthernet, gopacket.Default)
	arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP)
	if !ok {
		t.Fatal("no ARP layer: ", p)
	}
	if arp.Operation != layers.ARPReply || net.IP(arp.SourceProtAddress).String() != v4.String() ||
		net.IP(arp.DstProtAddress).String() != v4.String() || net.HardwareAddr(arp.SourceHwAddress).String() != mac().String() {
		t.Errorf("bad ARP: %+v", arp)
	}
	frame := vip.UnsolicitedNA(mac(), v6)
	p = gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	na, ok := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	if !ok {
		t.Fatal("no advertisement: ", p)
	}
	if na.TargetAddress.String() != v6.String() || na.Flags != 0x20 || len(na.Options) != 1 {
		t.Errorf("bad advertisement: %+v", na)
	}
	if err := p.ErrorLayer(); err != nil {
		t.Error(err.Error())
	}
	icmp, _ := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if err := icmp.SetNetworkLayerForChecksum(p.NetworkLayer()); err != nil {
		t.Fatal(err)
	}
	if errs, mismatches := p.VerifyChecksums(); errs != nil || len(mismatches) > 0 {
		t.Errorf("checksums: %v %v", errs, mismatches)
	}
}
