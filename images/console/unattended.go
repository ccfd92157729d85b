package console

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/images/ovfenv"
)

// Unattended is the set-up without a person: it answers the wizard's questions by the
// properties that were given while the machine was deployed (package ovfenv). What is not
// given stays as it is. Every mistake is told.
func Unattended(cfg lb.Config, cards []Card, given map[string]string) (lb.Config, error) {
	if len(cards) == 0 {
		return cfg, errNoCard
	}
	s := presentIn(cfg)
	s.Card = cards[0].Name
	err := errors.Join(
		take(given, ovfenv.Hostname, &s.Hostname, hostname),
		take(given, ovfenv.VLAN, &s.VLAN, vlan),
		take(given, ovfenv.Address, &s.Address, parseAddress),
		take(given, ovfenv.Gateway, &s.Gateway, s.gateway),
		take(given, ovfenv.DNS, &s.DNS, list(netip.ParseAddr)),
		take(given, ovfenv.Zone, &s.Zone, zone),
		take(given, ovfenv.NTP, &s.NTP, list(anything)),
	)
	if !s.Address.IsValid() && !s.Address.DHCP {
		err = errors.Join(err, errors.New("address: an address with its prefix length is needed, such as 192.168.1.20/24, or dhcp"))
	}
	if err != nil {
		return cfg, err
	}
	return s.into(cfg), nil
}

// take reads a property that is given.
func take[T any](given map[string]string, key string, into *T, parse func(string) (T, error)) error {
	text, ok := given[key]
	if !ok {
		return nil
	}
	v, err := parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	*into = v
	return nil
}
