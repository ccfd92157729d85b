// Package dhcp leases an IPv4 address for a network interface (RFC 2131): asks, keeps the
// address by renewing it, and gives it up when nobody renews it any more. What the address
// is used for is another's: [Client.Run] tells, and touches no interface.
package dhcp

import (
	"net/netip"
	"time"
)

// Lease is an address that a server has lent; zero = none.
type Lease struct {
	Addr   netip.Prefix `json:"address"`
	Router netip.Addr   `json:"router"` // invalid = none
	DNS    []netip.Addr `json:"dns,omitempty"`
	Server netip.Addr   `json:"server"`
	// Renew is when its server is asked to prolong it (T1), Rebind when any server is (T2),
	// and End when it is over.
	Renew  time.Time `json:"renew"`
	Rebind time.Time `json:"rebind"`
	End    time.Time `json:"end"`
}

// Valid says whether there is an address at that time.
func (l Lease) Valid(now time.Time) bool { return l.Addr.IsValid() && now.Before(l.End) }
