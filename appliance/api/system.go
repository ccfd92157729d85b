package api

import (
	"context"
	"errors"
	"strings"
	"time"
)

// PathSystem is the machine as it is now: GET. What it is configured to be is the part
// node of the draft, below system.
const PathSystem = "/api/v1/system"

// System is the machine of the node.
type System struct {
	Hostname   string   `json:"hostname"`
	Interfaces []NIC    `json:"interfaces"`
	Routes     []Route  `json:"routes"`
	Resolver   Resolver `json:"resolver"`
	Clock      Clock    `json:"clock"`
	// Problems say why it is not as configured.
	Problems []string `json:"problems"`
}

// Origins of addresses and routes.
const (
	OriginConfigured = "configured" // by this appliance's configuration
	OriginDHCP       = "dhcp"       // leased by this appliance
	OriginVIP        = "vip"        // a virtual service's address
	OriginKernel     = "kernel"     // of the kernel itself
	OriginOther      = "other"      // by the machine's own programs
)

// NIC is a network interface. Up is what was asked of it, Carrier whether there is
// anybody at the other end of the cable. SpeedMbps is 0 where the driver does not say.
type NIC struct {
	Name      string       `json:"name"`
	MAC       string       `json:"mac"`
	MTU       int          `json:"mtu"`
	Up        bool         `json:"up"`
	Carrier   bool         `json:"carrier"`
	SpeedMbps int          `json:"speed_mbps,omitempty"`
	VLAN      *NICVLAN     `json:"vlan,omitempty"`
	Bond      *NICBond     `json:"bond,omitempty"`
	BondOf    string       `json:"bond_of,omitempty"` // the bond that it is a member of
	Lease     *NICLease    `json:"lease,omitempty"`
	Addresses []NICAddress `json:"addresses"`
}

// NICVLAN is of what interface one is which VLAN.
type NICVLAN struct {
	Link string `json:"link"`
	ID   int    `json:"id"`
}

// NICLease is what an interface has by DHCP. It is renewed from Renew on.
type NICLease struct {
	Address string    `json:"address"`
	Router  string    `json:"router,omitempty"`
	DNS     []string  `json:"dns"`
	Server  string    `json:"server"`
	Renew   time.Time `json:"renew"`
	End     time.Time `json:"end"`
}

// NICBond is of what members an interface is made. Mode is Linux's word: active-backup.
type NICBond struct {
	Mode    string      `json:"mode"`
	Members []NICMember `json:"members"`
}

// NICMember is a member of a bond: whether it has a cable, and whether packets go by it.
type NICMember struct {
	Name    string `json:"name"`
	Carrier bool   `json:"carrier"`
	Active  bool   `json:"active"`
}

// State is the member's in a word.
func (m NICMember) State() string {
	switch {
	case m.Active:
		return "active"
	case m.Carrier:
		return "stands by"
	}
	return "no cable"
}

// NICAddress is an address with the length of its network's prefix.
type NICAddress struct {
	Address string `json:"address"`
	Origin  string `json:"origin"`
}

// Route is a unicast route of the main table; To is "default" or a network.
type Route struct {
	To        string `json:"to"`
	Via       string `json:"via,omitempty"`
	Interface string `json:"interface"`
	Metric    int    `json:"metric"`
	Origin    string `json:"origin"`
}

// Resolver is what programs of the machine ask for names. Link is where the file leads,
// if it is a link.
type Resolver struct {
	File    string   `json:"file"`
	Link    string   `json:"link,omitempty"`
	Servers []string `json:"servers"`
	Search  []string `json:"search"`
}

// Clock is the machine's. Synchronized is what the kernel says; ErrorMS bounds how wrong a
// synchronized clock may be. Zone is "" where it is not known.
type Clock struct {
	Now          time.Time `json:"now"`
	Zone         string    `json:"zone,omitempty"`
	Synchronized bool      `json:"synchronized"`
	ErrorMS      float64   `json:"error_ms,omitempty"`
	Servers      []string  `json:"ntp_servers"`
}

// System returns the machine as it is.
func (c *Client) System(ctx context.Context) (System, error) {
	var out System
	err := c.get(ctx, PathSystem, &out)
	return out, err
}

// systemKey is where the machine's settings are in the node's part.
const systemKey = "system."

// SystemFields are the settings of the machine in the draft, by their keys below system.
func (c *Client) SystemFields(ctx context.Context) (PartDraft, error) {
	d, err := c.DraftPart(ctx, "node")
	out := PartDraft{Tag: d.Tag, Fields: Fields{}}
	for key, text := range d.Fields {
		if own, ok := strings.CutPrefix(key, systemKey); ok {
			out.Fields[own] = text
		}
	}
	return out, err
}

// SetSystem changes settings of the machine in the draft. Mistakes come back at the keys
// that were given.
func (c *Client) SetSystem(ctx context.Context, tag string, f Fields) error {
	full := Fields{}
	for key, text := range f {
		full[systemKey+key] = text
	}
	err := c.SetPart(ctx, tag, "node", full)
	if p, ok := errors.AsType[*ProblemError](err); ok {
		own := map[string]string{}
		for key, text := range p.Problem.Fields {
			own[strings.TrimPrefix(key, systemKey)] = text
		}
		p.Problem.Fields = own
	}
	return err
}
