package lb

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// PortRange is an inclusive range of ports, First <= Last, both in 1..65535.
type PortRange struct{ First, Last uint16 }

// String returns "554" or "50000-65535".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// PortSet is a sorted list of disjoint, non-adjacent ranges. It is one service,
// whatever its size (design decision 2).
type PortSet []PortRange

// Ports builds a set from single ports.
func Ports(ports ...uint16) PortSet {
	s := make(PortSet, 0, len(ports))
	for _, p := range ports {
		s = append(s, PortRange{p, p})
	}
	return s.normal()
}

// ParsePortSet reads the guide's notation, for example "1935,554,50000-65535".
// Overlaps are joined. All mistakes are reported at once.
func ParsePortSet(text string) (PortSet, error) {
	var (
		s    PortSet
		errs []error
	)
	for field := range strings.SplitSeq(text, ",") {
		r, err := parsePortRange(strings.TrimSpace(field))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s = append(s, r)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s.normal(), nil
}

func parsePortRange(text string) (PortRange, error) {
	if text == "" {
		return PortRange{}, errors.New(`empty port: write ports as "80", "80,81" or "800-900"`)
	}
	first, last, isRange := strings.Cut(text, "-")
	a, err := parsePort(first)
	if err != nil {
		return PortRange{}, err
	}
	if !isRange {
		return PortRange{a, a}, nil
	}
	b, err := parsePort(last)
	if err != nil {
		return PortRange{}, err
	}
	if b < a {
		return PortRange{}, fmt.Errorf("port range %q runs backwards: write %d-%d", text, b, a)
	}
	return PortRange{a, b}, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port: ports run from 1 to 65535", text)
	}
	return uint16(n), nil
}

// normal sorts and joins touching ranges, so that equal sets compare equal.
func (s PortSet) normal() PortSet {
	s = slices.Clone(s)
	slices.SortFunc(s, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && int(r.First) <= int(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// String returns the canonical notation, sorted: "554,1935,50000-65535".
func (s PortSet) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = r.String()
	}
	return strings.Join(parts, ",")
}

// Contains reports whether port is in the set.
func (s PortSet) Contains(port uint16) bool {
	for _, r := range s {
		if port >= r.First && port <= r.Last {
			return true
		}
	}
	return false
}

// Overlaps reports whether the two sets share a port.
func (s PortSet) Overlaps(o PortSet) bool {
	for _, a := range s {
		for _, b := range o {
			if a.First <= b.Last && b.First <= a.Last {
				return true
			}
		}
	}
	return false
}

// Len is the number of ports.
func (s PortSet) Len() int {
	n := 0
	for _, r := range s {
		n += int(r.Last) - int(r.First) + 1
	}
	return n
}

// Each calls yield for every port in ascending order; it is an iter.Seq.
func (s PortSet) Each(yield func(uint16) bool) {
	for _, r := range s {
		for p := int(r.First); p <= int(r.Last); p++ {
			if !yield(uint16(p)) {
				return
			}
		}
	}
}

// Protocols is a set of transport protocols.
type Protocols uint8

// Members of Protocols.
const (
	TCP Protocols = 1 << iota
	UDP
)

// TCPUDP is the guide's "TCP/UDP".
const TCPUDP = TCP | UDP

// ParseProtocols accepts "tcp", "udp" and "tcp/udp".
func ParseProtocols(s string) (Protocols, error) {
	switch s {
	case "tcp":
		return TCP, nil
	case "udp":
		return UDP, nil
	case "tcp/udp":
		return TCPUDP, nil
	}
	return 0, fmt.Errorf("unknown protocol %q: use one of tcp, udp, tcp/udp", s)
}

// String is the inverse of ParseProtocols.
func (p Protocols) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case TCPUDP:
		return "tcp/udp"
	}
	return "none"
}

// Has reports whether all of o is in p.
func (p Protocols) Has(o Protocols) bool { return p&o == o }
