package simvos

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"

	"github.com/vosbed/vosbed/simvos/internal/hostnet"
)

// ARPMode says how a node treats ARP and neighbour discovery for its VIPs.
type ARPMode = hostnet.ARP

// The modes. Solved owns the VIP silently, as guide section 8.2 asks for;
// unsolved answers for it and announces it, which takes clients away from the
// balancer.
const (
	ARPSolved   = hostnet.Solved
	ARPUnsolved = hostnet.Unsolved
)

// Ports are the listen ports of a node. A service whose port is 0 is off.
type Ports struct {
	HTTPS, HTTP            uint16
	RTSP, RTMP             uint16
	TSTCP, TSUDP, TSIngest uint16
	ProbeUDP               []uint16
	ProbeTCP, Bulk         uint16
	// RTPLow and RTPHigh bound the pool of UDP port pairs, both included.
	RTPLow, RTPHigh uint16
}

// DefaultPorts are those of the guide (section 5.2), with the range
// 50000-65535 divided among the media.
func DefaultPorts() Ports {
	return Ports{
		HTTPS: 8443, HTTP: 8080, RTSP: 554, RTMP: 1935,
		TSTCP: 61000, TSUDP: 61001, TSIngest: 61002,
		ProbeUDP: []uint16{60000}, ProbeTCP: 60001, Bulk: 60002,
		RTPLow: 50000, RTPHigh: 59999,
	}
}

// Options is what a Node is made of.
type Options struct {
	// Name is the node's name, for example "HT1"; ID the server id in every
	// marker, unique among the nodes of a lab.
	Name string
	ID   uint16
	// Iface is the network card; needed with VIPs, and to find RIPs.
	Iface string
	// RIPs are the node's own addresses. Empty: those found on Iface.
	RIPs []netip.Addr
	// VIPs are the virtual addresses that the node puts on its loopback.
	VIPs []netip.Addr
	ARP  ARPMode
	// Ports are the listen ports, see DefaultPorts.
	Ports Ports
	// Control is the path of the control socket; empty means none.
	Control string
	Logger  *slog.Logger
	// Namespace runs a function in the node's network namespace. nil means the
	// namespace of the process, which then must not change threads' namespaces.
	Namespace func(func() error) error
}

// normalize checks o and fills in what may be left out.
func (o Options) normalize() (Options, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Namespace == nil {
		o.Namespace = func(f func() error) error { return f() }
	}
	if o.ARP == "" {
		o.ARP = ARPSolved
	}
	return o, o.check()
}

func (o Options) check() error {
	var errs []error
	if o.Name == "" {
		errs = append(errs, errors.New("a node needs a name"))
	}
	if o.ARP != ARPSolved && o.ARP != ARPUnsolved {
		errs = append(errs, fmt.Errorf("ARP mode %q is neither %s nor %s", o.ARP, ARPSolved, ARPUnsolved))
	}
	if len(o.VIPs) > 0 && o.Iface == "" {
		errs = append(errs, errors.New("virtual addresses need the name of the network card"))
	}
	for _, a := range slices.Concat(o.VIPs, o.RIPs) {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" || a.Is4In6() {
			errs = append(errs, fmt.Errorf("%s cannot be the address of a server", a))
		}
	}
	if p := o.Ports; p.RTSP != 0 && (p.RTPLow == 0 || p.RTPHigh <= p.RTPLow) {
		errs = append(errs, fmt.Errorf("RTP ports %d-%d are not a range of two or more", p.RTPLow, p.RTPHigh))
	}
	return errors.Join(errs...)
}
