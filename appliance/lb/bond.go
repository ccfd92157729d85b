package lb

import "slices"

// BondMode is how a bond uses its members.
type BondMode int

// Bond modes. ActiveBackup needs nothing of the switches, which may be two; LACP and
// BalanceXOR need an aggregate at one switch, or at several that act as one. The other
// modes of Linux do not suit a virtual address: balance-tlb and balance-alb send from, or
// answer ARP with, the MAC address of any member, and balance-rr sends out of order.
const (
	ActiveBackup BondMode = iota // one works, the others stand by (the default)
	LACP                         // all work, as agreed with the switch (IEEE 802.3ad, now 802.1AX)
	BalanceXOR                   // all work, by a fixed aggregate of the switch
)

func bondModes() enum {
	return enum{"mode of a bond", []string{"active-backup", "802.3ad", "balance-xor"}}
}

// String returns Linux's word: "active-backup", "802.3ad" or "balance-xor".
func (m BondMode) String() string { return bondModes().text(int(m)) }

// ParseBondMode is the inverse of String.
func ParseBondMode(s string) (BondMode, error) {
	v, err := bondModes().parse(s)
	return BondMode(v), err
}

// Bond makes an interface of others, its Members: the first one that there is lends it its
// MAC address. No members = the interface is none.
type Bond struct {
	Members []string
	Mode    BondMode
}

// Zero says that an interface is no bond.
func (b Bond) Zero() bool { return len(b.Members) == 0 }

// BondOf is the bond that an interface is a member of, "" = none.
func (s System) BondOf(name string) string {
	for _, i := range s.Interfaces {
		if slices.Contains(i.Bond.Members, name) {
			return i.Name
		}
	}
	return ""
}
