package support

import (
	"io/fs"
	"net/netip"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Facts are what is known of a node at one moment.
type Facts struct {
	Now          time.Time
	Config       lb.Config
	Status       lb.Status
	VIPs         []VIP
	Machine      Machine
	Secrets      []Secret
	Certificates []Certificate
	Storage      Storage
	// PeerClock is how far the peer's clock is ahead of this one; nil = not known.
	PeerClock *time.Duration
}

// VIP is a virtual address and the interface that shall carry it.
type VIP struct {
	Addr      netip.Addr
	Interface string
}

// Machine is what the kernel says of itself. What could not be read is zero.
type Machine struct {
	Built  time.Time // commit of the running program
	Clock  Clock
	Disk   Space // file system of the state directory
	Memory Space
	Files  uint64 // descriptors that the daemon may open
	// Sysctls by name: "net.ipv4.ip_local_port_range".
	Sysctls map[string]string
	Links   []Link
}

// Clock says whether the kernel's clock follows a time server (adjtimex(2)).
type Clock int

// The states of a clock.
const (
	ClockUnknown Clock = iota
	ClockFree
	ClockSynchronised
)

// Space is what is left of something, in bytes.
type Space struct{ Free, Total uint64 }

// Link is one interface.
type Link struct {
	Name     string
	Up       bool
	MTU      int
	Prefixes []netip.Prefix // with the host's own bits
	Default  bool           // carries the default route
	Loopback bool
}

// Secret is a file that only its owner may read; Err says why it could not be looked at.
type Secret struct {
	Path string
	Mode fs.FileMode
	Err  error
}

// Certificate is the public part of one.
type Certificate struct {
	Name                string
	NotBefore, NotAfter time.Time
}

// Storage says why what the node keeps is not as it should be; nil = it is.
type Storage struct {
	History, Trail error
	HistoryDir     string
	Accounts       int
}
