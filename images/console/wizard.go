package console

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// setup is what the wizard asks for (guide 9.2).
type setup struct {
	Hostname string
	Card     string
	VLAN     int // 0 = the card itself
	Address  address
	Gateway  netip.Addr
	DNS      []netip.Addr
	Zone     string
	NTP      []string
}

// Errors of the wizard.
var (
	errNoCard   = errors.New("this machine has no network card that its kernel knows: give it one (virtio, vmxnet3, e1000, Hyper-V)")
	errNotTaken = errors.New("nothing was changed")
)

// ask asks for everything; present is what is offered where only Enter is pressed.
func ask(t Terminal, cards []Card, present setup) (setup, error) {
	if len(cards) == 0 {
		return setup{}, errNoCard
	}
	t.Say("Network setup. Press Enter to take what stands in [brackets]; Ctrl-C leaves everything as it is.")
	s := present
	questions := []func() error{
		func() error { return askText(t, "Host name", &s.Hostname, hostname) },
		func() error { return askCard(t, cards, &s.Card) },
		func() error { return askText(t, "VLAN number, 1 to 4094 (- for none)", &s.VLAN, vlan) },
		func() error {
			return askText(t, "IP address and prefix length, such as 192.168.1.20/24, or dhcp", &s.Address, parseAddress)
		},
		func() error { return askFixed(t, "Default gateway (- for none)", s.Address, &s.Gateway, s.gateway) },
		func() error { return askFixed(t, "DNS servers (- for none)", s.Address, &s.DNS, list(netip.ParseAddr)) },
		func() error { return askText(t, "Time zone, such as Europe/London", &s.Zone, zone) },
		func() error { return askText(t, "NTP servers (- for none)", &s.NTP, list(anything)) },
	}
	for _, q := range questions {
		if err := q(); err != nil {
			return setup{}, err
		}
	}
	return s, nil
}

// address is a fixed one, or the wish for one by DHCP.
type address struct {
	netip.Prefix

	DHCP bool
}

const byDHCP = "dhcp"

func parseAddress(text string) (address, error) {
	if strings.EqualFold(text, byDHCP) {
		return address{DHCP: true}, nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return address{}, fmt.Errorf("%w: or write dhcp", err)
	}
	return address{Prefix: p}, nil
}

// askFixed asks for what comes with an address by DHCP.
func askFixed[T any](t Terminal, question string, at address, into *T, parse func(string) (T, error)) error {
	if at.DHCP {
		var none T
		*into = none
		return nil
	}
	return askText(t, question, into, parse)
}

// askText asks until the answer can be understood.
func askText[T any](t Terminal, question string, into *T, parse func(string) (T, error)) error {
	for {
		answer, err := t.Ask(fmt.Sprintf("%s [%s]: ", question, shown(*into)), 0)
		if err != nil {
			return err
		}
		if answer == "" && shown(*into) != "" {
			answer = shown(*into)
		}
		v, err := parse(answer)
		if err == nil {
			*into = v
			return nil
		}
		t.Say("  " + err.Error())
	}
}

// shown is a value as it would be typed.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int:
		if v != 0 {
			return strconv.Itoa(v)
		}
		return "-"
	case address:
		switch {
		case v.DHCP:
			return byDHCP
		case v.IsValid():
			return v.String()
		}
	case netip.Addr:
		if v.IsValid() {
			return v.String()
		}
		return "-"
	case []netip.Addr:
		if len(v) == 0 {
			return "-"
		}
		return strings.Trim(fmt.Sprint(v), "[]")
	case []string:
		if len(v) == 0 {
			return "-"
		}
		return strings.Join(v, " ")
	}
	return ""
}

func askCard(t Terminal, cards []Card, into *string) error {
	for i, c := range cards {
		t.Say(fmt.Sprintf("  %d  %s  %s  %s", i+1, c.Name, c.MAC, carrier(c.Up)))
	}
	if *into == "" {
		*into = cards[0].Name
	}
	return askText(t, "Network card", into, func(s string) (string, error) {
		for i, c := range cards {
			if s == c.Name || s == fmt.Sprint(i+1) {
				return c.Name, nil
			}
		}
		return "", fmt.Errorf("%q is none of them", s)
	})
}

func hostname(s string) (string, error) {
	ok := s != "" && len(s) <= 63 && !strings.HasPrefix(s, "-") && !strings.HasSuffix(s, "-") &&
		!strings.ContainsFunc(s, func(r rune) bool {
			return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		})
	if !ok {
		return "", fmt.Errorf("%q is no host name: letters, digits and - (RFC 1123)", s)
	}
	return s, nil
}

func (s *setup) gateway(text string) (netip.Addr, error) {
	if text == "" || text == "-" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		return a, err
	case !s.Address.Masked().Contains(a):
		return a, fmt.Errorf("%s is not in the network %s", a, s.Address.Masked())
	case a == s.Address.Addr():
		return a, fmt.Errorf("%s is this machine's own address", a)
	}
	return a, nil
}

func vlan(text string) (int, error) {
	if text == "" || text == "-" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 4094 {
		return 0, fmt.Errorf("%q is no number of a VLAN: write 1 to 4094, or - for none", text)
	}
	return n, nil
}

func zone(s string) (string, error) {
	if s == "" {
		return "", errors.New("write a time zone, or UTC")
	}
	return s, nil
}

func anything(s string) (string, error) { return s, nil }

// list parses words apart by blanks or commas.
func list[T any](parse func(string) (T, error)) func(string) ([]T, error) {
	return func(text string) ([]T, error) {
		var out []T
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ' ' || r == ',' }) {
			if word == "-" {
				continue
			}
			v, err := parse(word)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
}

// presentIn reads what a configuration says already.
func presentIn(cfg lb.Config) setup {
	sys := cfg.Node.System
	s := setup{Hostname: cmp.Or(sys.Hostname, cfg.Node.Name), DNS: sys.DNS.Servers, Zone: sys.Clock.Zone, NTP: sys.Clock.Servers}
	if s.Zone == "" {
		s.Zone = "UTC"
	}
	if i, addr, ok := managed(cfg.Node); ok {
		s.Card, s.VLAN, s.Address = i.Name, i.VLAN.ID, addr
		if s.VLAN != 0 {
			s.Card = i.VLAN.Link
		}
	}
	for _, r := range sys.Routes {
		if s.Address.IsValid() && r.To.Bits() == 0 && s.Address.Masked().Contains(r.Via) {
			s.Gateway = r.Via
		}
	}
	return s
}

// managed is the interface and its address that people reach the WebUI at, or else the first
// one that has an address.
func managed(n lb.Node) (i lb.Interface, addr address, ok bool) {
	for _, one := range n.System.Interfaces {
		if one.DHCP && slices.Contains(n.ManagementDHCP, one.Name) {
			return one, address{DHCP: true}, true
		}
		for _, a := range one.Addrs {
			if slices.ContainsFunc(n.Management, func(m netip.AddrPort) bool { return m.Addr() == a.Addr() }) {
				return one, address{Prefix: a}, true
			}
			if !ok {
				i, addr, ok = one, address{Prefix: a}, true
			}
		}
	}
	return i, addr, ok
}

// into writes the answers into a configuration; the rest of it stays.
func (s setup) into(cfg lb.Config) lb.Config {
	n := &cfg.Node
	before := presentIn(cfg)
	n.System.Hostname = s.Hostname
	n.System.DNS.Servers, n.System.Clock = s.DNS, lb.Clock{Zone: s.Zone, Servers: s.NTP}
	n.System.Interfaces = s.interfaces(n.System.Interfaces, before)
	n.System.Routes = slices.DeleteFunc(slices.Clone(n.System.Routes), func(r lb.Route) bool { return r.To.Bits() == 0 && r.Via == before.Gateway })
	if s.Gateway.IsValid() {
		n.System.Routes = append(n.System.Routes, lb.Route{To: anywhere(s.Gateway), Via: s.Gateway})
	}
	s.manage(n, before)
	return cfg
}

// manage has the WebUI at the address, where it was at the former one or nowhere.
func (s setup) manage(n *lb.Node, before setup) {
	former := func(a netip.AddrPort) bool { return before.Address.IsValid() && a.Addr() == before.Address.Addr() }
	leased := before.Address.DHCP && slices.Contains(n.ManagementDHCP, before.name())
	if !slices.ContainsFunc(n.Management, former) && !leased && len(n.Management) > 0 {
		return
	}
	n.Management = slices.DeleteFunc(slices.Clone(n.Management), former)
	n.ManagementDHCP = slices.DeleteFunc(slices.Clone(n.ManagementDHCP), func(name string) bool { return name == before.name() || name == s.name() })
	if s.Address.DHCP {
		n.ManagementDHCP = append(n.ManagementDHCP, s.name())
		return
	}
	n.Management = append(n.Management, netip.AddrPortFrom(s.Address.Addr(), config.ManagementPort))
}

// interfaces are those of a configuration with the answers in place of what was before. A
// VLAN needs its card up, without an address. A card that is a bond stays one.
func (s setup) interfaces(have []lb.Interface, before setup) []lb.Interface {
	out := slices.DeleteFunc(slices.Clone(have), func(i lb.Interface) bool {
		return i.Name == before.name() || i.Name == s.name() || i.Name == s.Card && len(i.Addrs) == 0 && !i.DHCP
	})
	card, _ := lb.System{Interfaces: have}.Interface(s.Card)
	one := lb.Interface{Name: s.name(), DHCP: s.Address.DHCP}
	if s.Address.IsValid() {
		one.Addrs = []netip.Prefix{s.Address.Prefix}
	}
	if s.VLAN == 0 {
		one.Bond = card.Bond
		return append(out, one)
	}
	one.VLAN = lb.VLAN{Link: s.Card, ID: s.VLAN}
	if !slices.ContainsFunc(out, func(i lb.Interface) bool { return i.Name == s.Card }) {
		out = append(out, lb.Interface{Name: s.Card, Bond: card.Bond})
	}
	return append(out, one)
}

// mostName is the longest name of an interface in bytes (IFNAMSIZ without its end).
const mostName = 15

// name is that of the interface that gets the address.
func (s setup) name() string {
	if s.VLAN == 0 {
		return s.Card
	}
	if name := fmt.Sprintf("%s.%d", s.Card, s.VLAN); len(name) <= mostName {
		return name
	}
	return fmt.Sprintf("vlan%d", s.VLAN)
}

// anywhere is the destination of a default gateway.
func anywhere(via netip.Addr) netip.Prefix {
	if via.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// summary is what is shown before anything is changed.
func (s setup) summary() string {
	gateway, dns, where := shown(s.Gateway), shown(s.DNS), host(s.Address.Addr())
	if s.Address.DHCP {
		gateway, dns, where = byDHCP, byDHCP, "(the address that is leased)"
	}
	return fmt.Sprintf(`
  Host name        %s
  Network card     %s
  VLAN             %s
  Address          %s
  Default gateway  %s
  DNS servers      %s
  Time zone        %s
  NTP servers      %s
  WebUI            https://%s:%d/lbadmin/
`, s.Hostname, s.Card, shown(s.VLAN), shown(s.Address), gateway, dns, s.Zone, shown(s.NTP), where, config.ManagementPort)
}

// host is an address before a port.
func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// confirm asks a question that is answered by the word yes, and takes anything else for no.
func confirm(t Terminal, question string, within time.Duration) (bool, error) {
	answer, err := t.Ask(question+" (yes/no): ", within)
	return strings.EqualFold(answer, "yes"), err
}
