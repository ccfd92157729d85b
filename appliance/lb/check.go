package lb

import (
	"fmt"
	"net/netip"
)

// Target names what a check of addr contacts, for people: the resolved URL of a
// negotiate check ("https://192.168.94.105:8443/admin/status"), "tcp ADDR:PORT" of
// a connect check, "icmp ADDR" of a ping, "" for on and off.
func (c HealthCheck) Target(addr netip.Addr) string {
	at := netip.AddrPortFrom(addr, c.Port)
	switch c.Kind {
	case CheckNegotiate:
		return fmt.Sprintf("%s://%s%s", c.Scheme, at, c.Path)
	case CheckConnect:
		return "tcp " + at.String()
	case CheckPing:
		return "icmp " + addr.String()
	case CheckOn, CheckOff:
	}
	return ""
}
