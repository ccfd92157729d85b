package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Bounds of what a server may say.
const (
	maxMessage = 1500             // bytes; what one frame carries
	maxDNS     = 3                // MAXNS of resolv.h
	leastLease = 10 * time.Second // a shorter one would be nothing but renewing
	leastRenew = 5 * time.Second
	widest     = 8 // length of the prefix: nobody's network has more of the Internet
)

// MostLease is how long a lease is taken to last, whatever a server says.
const MostLease = 365 * 24 * time.Hour

// xid tells the answers to one question from others.
type xid = dhcpv4.TransactionID

// question is what a client sends.
type question struct {
	kind   dhcpv4.MessageType
	id     xid
	mac    net.HardwareAddr
	asked  netip.Addr // requested address (option 50)
	server netip.Addr // server identifier (option 54)
	own    netip.Addr // ciaddr: the address that is in use
}

// encode is the message as bytes.
func (q question) encode() ([]byte, error) {
	m, err := dhcpv4.New(
		dhcpv4.WithTransactionID(q.id), dhcpv4.WithHwAddr(q.mac), dhcpv4.WithMessageType(q.kind),
		dhcpv4.WithBroadcast(!q.own.IsValid()), // there is no address yet that a unicast could reach
	)
	if err != nil {
		return nil, fmt.Errorf("make a DHCP message: %w", err)
	}
	if q.own.IsValid() {
		m.ClientIPAddr = q.own.AsSlice()
	}
	if q.asked.IsValid() {
		m.UpdateOption(dhcpv4.OptRequestedIPAddress(q.asked.AsSlice()))
	}
	if q.server.IsValid() {
		m.UpdateOption(dhcpv4.OptServerIdentifier(q.server.AsSlice()))
	}
	if q.kind == dhcpv4.MessageTypeDiscover || q.kind == dhcpv4.MessageTypeRequest {
		m.UpdateOption(dhcpv4.OptMaxMessageSize(maxMessage))
		m.UpdateOption(dhcpv4.OptParameterRequestList(
			dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionIPAddressLeaseTime,
			dhcpv4.OptionServerIdentifier, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue))
	}
	return m.ToBytes(), nil
}

// answer is what a server sends. The lease's times are as long from now as the server says.
type answer struct {
	kind  dhcpv4.MessageType
	lease Lease
}

// errNotOurs says that a message is no answer to our question.
var errNotOurs = errors.New("no answer to what was asked")

// decode reads an answer to a question of ours and judges all of it: whoever is on the
// network may have sent it. With an error there is a kind where it answers our question and
// what it lends cannot be used.
func decode(data []byte, id xid, mac net.HardwareAddr, now time.Time) (answer, error) {
	if len(data) > maxMessage {
		return answer{}, fmt.Errorf("a DHCP message of %d bytes", len(data))
	}
	m, err := dhcpv4.FromBytes(data)
	if err != nil {
		return answer{}, fmt.Errorf("a DHCP message that cannot be read: %w", err)
	}
	if m.OpCode != dhcpv4.OpcodeBootReply || m.TransactionID != id || !bytes.Equal(m.ClientHWAddr, mac) {
		return answer{}, errNotOurs
	}
	a := answer{kind: m.MessageType()}
	server, ok := single(m.ServerIdentifier())
	if !ok {
		return answer{}, errors.New("a DHCP message without its server's address")
	}
	a.lease.Server = server
	if a.kind == dhcpv4.MessageTypeNak {
		return a, nil
	}
	if a.kind != dhcpv4.MessageTypeOffer && a.kind != dhcpv4.MessageTypeAck {
		return answer{}, errNotOurs
	}
	err = a.lease.read(m, now)
	return a, err
}

// read takes what is lent out of a message.
func (l *Lease) read(m *dhcpv4.DHCPv4, now time.Time) error {
	addr, ok := single(m.YourIPAddr)
	if !ok || addr.IsLinkLocalUnicast() {
		return fmt.Errorf("the DHCP server %s lends %s, which is no address of a host", l.Server, m.YourIPAddr)
	}
	mask := m.Options.Get(dhcpv4.OptionSubnetMask)
	ones, bits := net.IPMask(mask).Size()
	l.Addr = netip.PrefixFrom(addr, ones)
	if bits != 32 || ones < widest || ones < 31 && (addr == l.Addr.Masked().Addr() || addr == last(l.Addr)) {
		return fmt.Errorf("the DHCP server %s lends %s with the mask %x, which make no network", l.Server, addr, mask)
	}
	for _, ip := range m.Router() {
		if r, ok := single(ip); ok && r != addr && l.Addr.Masked().Contains(r) {
			l.Router = r
			break
		}
	}
	for _, ip := range m.DNS() {
		if d, ok := single(ip); ok && len(l.DNS) < maxDNS {
			l.DNS = append(l.DNS, d)
		}
	}
	whole := min(m.IPAddressLeaseTime(0), MostLease)
	if whole < leastLease {
		return fmt.Errorf("the DHCP server %s lends %s for %s only", l.Server, addr, whole)
	}
	t1, t2 := m.IPAddressRenewalTime(0), m.IPAddressRebindingTime(0)
	if t1 < leastRenew || t2 <= t1 || whole <= t2 {
		t1, t2 = whole/2, whole/8*7 // RFC 2131, 4.4.5
	}
	l.Renew, l.Rebind, l.End = now.Add(t1), now.Add(t2), now.Add(whole)
	return nil
}

// single is the address of one host.
func single(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip.To4())
	return a, ok && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a.As4()[0] != 0 && a.As4()[0] < 240
}

// last is the highest address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	n := binary.BigEndian.Uint32(b[:]) | (1<<(32-p.Bits()) - 1)
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}
