package lb

import "net/netip"

// Limits of what one appliance serves. The configuration refuses what exceeds them and
// the engines are built for them.
const (
	// MaxVIPs bounds the distinct virtual addresses of both layers together.
	MaxVIPs     = 512
	MaxServices = 1024
	// MaxShared bounds the layer-4 services of one address.
	MaxShared = 8
	// MaxRealServers bounds those of one service, MaxAllRealServers those of all layer-4
	// services together.
	MaxRealServers    = 256
	MaxAllRealServers = 8192
	// MaxListeners bounds the VIP:port pairs of all layer-7 services together: each is a
	// listening socket.
	MaxListeners = 1024
)

// CheckNets are the networks from which the layer-4 engine gives every server that it
// checks through the VIP an address of its own, known to this host alone: 198.19.224.0/19
// (of the benchmarking network, RFC 2544) and fd76:6f73:6265:6400::/64 (RFC 4193).
// Nothing else may have an address there.
func CheckNets() [2]netip.Prefix {
	return [2]netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 19, 224, 0}), 19),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0x76, 0x6f, 0x73, 0x62, 0x65, 0x64}), 64),
	}
}
