package memory

import (
	"fmt"
	"net/netip"
)

// Kind is what a packet is to a layer-4 engine.
type Kind int

// Kinds of packets.
const (
	TCP Kind = iota
	UDP
	Echo      // ICMP or ICMPv6 echo request
	ICMPError // destination unreachable and its like; Inner is what it quotes
	OtherICMP // an ICMP message that nobody balances
	OtherIP   // any other transport, such as GRE
	ARP       // Src claims MAC and asks for Dst
	Solicit   // neighbour solicitation for Dst
	Advert    // neighbour advertisement of Dst
)

// Flags of a TCP segment.
type Flags uint8

// Members of Flags.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	_
	ACK
)

// Fragment is a packet's place in a fragmented datagram.
type Fragment int

// Fragment places.
const (
	Whole Fragment = iota
	First
	Later
)

// Packet is an abstract packet: what matters for a decision, no bytes.
type Packet struct {
	Kind             Kind
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
	Flags            Flags
	Fragment         Fragment
	ID               uint32 // of the datagram, when fragmented
	Inner            *Packet
	MAC              [6]byte // of the sender
	// Length is the frame's length in bytes, for the counters.
	Length int
	// Malformed says that headers contradict each other or the length.
	Malformed bool
	// Foreign is a frame for another node's MAC; Broadcast one for all.
	Foreign, Broadcast bool
}

// Action is what becomes of a packet.
type Action int

// Actions.
const (
	Pass    Action = iota // up the stack
	Drop                  // see Verdict.Reason
	Forward               // to Verdict.Server
)

// Verdict is the decision on one packet.
type Verdict struct {
	Action Action
	Server netip.Addr // RIP
	Reason string     // of a drop, as in dataplane.Counters
}

// String returns "pass", "drop reason" or "server RIP".
func (v Verdict) String() string {
	switch v.Action {
	case Drop:
		return "drop " + v.Reason
	case Forward:
		return fmt.Sprintf("server %s", v.Server)
	case Pass:
	}
	return "pass"
}

func pass() Verdict              { return Verdict{} }
func drop(reason string) Verdict { return Verdict{Action: Drop, Reason: reason} }
