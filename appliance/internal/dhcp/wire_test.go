package dhcp

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

var (
	testMAC = net.HardwareAddr{2, 0, 0, 0, 0, 1}
	testID  = xid{1, 2, 3, 4}
)

// acknowledged is an answer as it should be, changed.
func acknowledged(tb testing.TB, change func(*dhcpv4.DHCPv4)) []byte {
	tb.Helper()
	m, err := dhcpv4.New(dhcpv4.WithTransactionID(testID), dhcpv4.WithHwAddr(testMAC), dhcpv4.WithMessageType(dhcpv4.MessageTypeAck),
		dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 50)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(3600),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1))))
	if err != nil {
		tb.Fatal(err)
	}
	m.OpCode = dhcpv4.OpcodeBootReply
	change(m)
	return m.ToBytes()
}

func TestDecode(t *testing.T) {
	t.Parallel()
	now := time.Now()
	good, err := decode(acknowledged(t, func(*dhcpv4.DHCPv4) {}), testID, testMAC, now)
	if err != nil || good.lease.Renew != now.Add(30*time.Minute) || good.lease.Rebind != now.Add(52*time.Minute+30*time.Second) || good.lease.Router.IsValid() {
		t.Errorf("%+v, %v", good, err)
	}
	endless, err := decode(acknowledged(t, func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptIPAddressLeaseTime(0xffffffff * time.Second)) }), testID, testMAC, now)
	if err != nil || endless.lease.End != now.Add(MostLease) {
		t.Errorf("%+v, %v", endless, err)
	}
	for name, tt := range map[string]struct {
		change func(*dhcpv4.DHCPv4)
		told   string
	}{
		"a request":         {func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootRequest }, "no answer"},
		"another question":  {func(m *dhcpv4.DHCPv4) { m.TransactionID[0]++ }, "no answer"},
		"another client":    {func(m *dhcpv4.DHCPv4) { m.ClientHWAddr = net.HardwareAddr{2, 0, 0, 0, 0, 2} }, "no answer"},
		"another kind":      {func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeInform)) }, "no answer"},
		"no server":         {func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionServerIdentifier) }, "without its server"},
		"multicast":         {func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(224, 0, 0, 1) }, "no address of a host"},
		"loopback":          {func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(127, 0, 0, 1) }, "no address of a host"},
		"no address":        {func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4zero }, "no address of a host"},
		"link-local":        {func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(169, 254, 1, 1) }, "no address of a host"},
		"the network":       {func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(10, 0, 0, 0) }, "make no network"},
		"the broadcast":     {func(m *dhcpv4.DHCPv4) { m.YourIPAddr = net.IPv4(10, 0, 0, 255) }, "make no network"},
		"no mask":           {func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionSubnetMask) }, "make no network"},
		"a mask with holes": {func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptSubnetMask(net.IPv4Mask(255, 0, 255, 0))) }, "make no network"},
		"the whole world":   {func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptSubnetMask(net.IPv4Mask(0, 0, 0, 0))) }, "make no network"},
		"half the world":    {func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptSubnetMask(net.IPv4Mask(128, 0, 0, 0))) }, "make no network"},
		"a second":          {func(m *dhcpv4.DHCPv4) { m.UpdateOption(dhcpv4.OptIPAddressLeaseTime(time.Second)) }, "for 1s only"},
		"no time":           {func(m *dhcpv4.DHCPv4) { m.Options.Del(dhcpv4.OptionIPAddressLeaseTime) }, "for 0s only"},
	} {
		if _, err := decode(acknowledged(t, tt.change), testID, testMAC, now); err == nil || !strings.Contains(err.Error(), tt.told) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode: whatever comes, what is taken for a lease can be configured and ends.
func FuzzDecode(f *testing.F) {
	f.Add(acknowledged(f, func(*dhcpv4.DHCPv4) {}))
	f.Add(acknowledged(f, func(m *dhcpv4.DHCPv4) {
		m.UpdateOption(dhcpv4.OptRouter(net.IPv4(10, 0, 0, 1)))
		m.UpdateOption(dhcpv4.OptDNS(net.IPv4(10, 0, 0, 2)))
	}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		now := time.Now()
		a, err := decode(data, testID, testMAC, now)
		if err != nil || a.kind == dhcpv4.MessageTypeNak {
			return
		}
		l := a.lease
		bad := !l.Addr.IsValid() || !l.Addr.Addr().Is4() || l.Addr.Bits() < widest || l.Addr.Addr().IsMulticast() || !l.Server.IsValid() ||
			len(l.DNS) > maxDNS || l.Router.IsValid() && !l.Addr.Masked().Contains(l.Router) ||
			!now.Before(l.Renew) || !l.Renew.Before(l.Rebind) || !l.Rebind.Before(l.End) || l.End.After(now.Add(MostLease))
		if bad {
			t.Errorf("%+v", l)
		}
	})
}

// FuzzPayload: no packet is read beyond its end.
func FuzzPayload(f *testing.F) {
	f.Add(datagram(netip.Addr{}, []byte("x")))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if got, ok := payload(packet); ok && len(got) > len(packet)-28 {
			t.Errorf("%d of %d bytes", len(got), len(packet))
		}
		claims(packet, netip.MustParseAddr("10.0.0.1"), testMAC)
	})
}
