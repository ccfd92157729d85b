package system

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// newTagging is a machine whose kernel has VLANs.
func newTagging(t *testing.T) *machine {
	t.Helper()
	m := newMachine(t)
	if err := m.inside(func() error { return others("eth1", "probe", 1) }); err != nil {
		testenv.Missing(t, "vlan", err.Error())
	}
	m.do(func() error {
		l, err := netlink.LinkByName("probe")
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	return m
}

// others makes a VLAN as the machine's own tools do.
func others(link, name string, id int) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, l.Attrs().Index
	return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
}

func vlan(name, link string, id int, addrs ...string) lb.Interface {
	out := lb.Interface{Name: name, VLAN: lb.VLAN{Link: link, ID: id}}
	for _, a := range addrs {
		out.Addrs = append(out.Addrs, netip.MustParsePrefix(a))
	}
	return out
}

func tagging() lb.System {
	return lb.System{Interfaces: []lb.Interface{
		vlan("inner", "eth0.100", 7),
		vlan("eth0.100", "eth0", 100, "10.100.0.1/24"),
		{Name: "eth0", MTU: 1400},
		{Name: "eth1"},
	}}
}

// TestVLANs: they are made in the order that they need, with the MTU of what carries them;
// a restart adopts them; a VLAN that is renamed, renumbered or no longer configured goes.
func TestVLANs(t *testing.T) {
	t.Parallel()
	m := newTagging(t)
	if p := m.apply(m.daemon(), tagging()); p != "" {
		t.Errorf("problems: %s", p)
	}
	made := []string{
		"eth0 mtu 1400 up true", "eth0.100 mtu 1400 up true", "eth0.100 10.100.0.1/24 configured",
		"inner mtu 1400 up true", "eth1 mtu 1500 up true",
	}
	m.wants(made...)
	again := m.daemon()
	m.do(func() error {
		n, err := changes(func() { again.Set(tagging()); again.Apply(t.Context()) })
		if n > 0 || err != nil {
			t.Errorf("an equal Set changed the kernel %d times, %v", n, err)
		}
		f, err := again.Facts()
		for _, nic := range f.NICs {
			if want := (lb.VLAN{Link: "eth0", ID: 100}); nic.Name == "eth0.100" && nic.VLAN != want {
				t.Errorf("it is %+v, want %+v", nic.VLAN, want)
			}
		}
		return err
	})
	moved := tagging()
	moved.Interfaces[0].VLAN.ID, moved.Interfaces[0].MTU = 8, 1300
	moved.Interfaces[1].Name, moved.Interfaces[0].VLAN.Link = "service", "service"
	moved.Interfaces[2].MTU = 0 // the card's own again
	if p := m.apply(again, moved); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants("eth0 mtu 1500 up true", "service mtu 1500 up true", "service 10.100.0.1/24 configured", "inner mtu 1300 up true", "eth1 mtu 1500 up true")
	if p := m.apply(m.daemon(), lb.System{}); p != "" {
		t.Errorf("problems: %s", p)
	}
	m.wants("eth0 mtu 1500 up false", "eth1 mtu 1500 up false")
	if s := m.read("system.json"); strings.Contains(s, "eth") {
		t.Errorf("something is remembered: %s", s)
	}
}

// TestVLANsOfOthers are used where they are what is configured, and never removed.
func TestVLANsOfOthers(t *testing.T) {
	t.Parallel()
	m := newTagging(t)
	m.do(func() error {
		if err := others("eth0", "eth0.100", 100); err != nil {
			return err
		}
		return others("eth0", "eth0.200", 200)
	})
	want := tagging()
	want.Interfaces = append(want.Interfaces[1:], vlan("eth0.200", "eth0", 201), vlan("same", "eth0", 200), vlan("lost", "eth9", 1), vlan("down", "eth1", 5))
	want.Interfaces[1].MTU, want.Interfaces[2].Disabled = 0, true // eth0, eth1
	p := m.apply(m.daemon(), want)
	tells(t, p,
		"interface eth0.200: there is an interface of this name that is not VLAN 201 of eth0",
		"interface same: VLAN 200 of eth0 is there by another name",
		"interface lost: it is a VLAN of eth9, which is not on this machine",
		"interface down: the interface that carries it is down",
	)
	m.apply(m.daemon(), lb.System{})
	m.wants("eth0 mtu 1500 up false", "eth1 mtu 1500 up false", "eth0.100 mtu 1500 up false", "eth0.200 mtu 1500 up false")
}

// TestNoVLANs: a kernel without the module is told as what it is.
func TestNoVLANs(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	if m.inside(func() error { return others("eth1", "probe", 1) }) == nil {
		t.Skip("this kernel has VLANs")
	}
	want := lb.System{Interfaces: []lb.Interface{{Name: "eth0"}, vlan("eth0.100", "eth0", 100, "10.100.0.1/24")}}
	if p := m.apply(m.daemon(), want); p != "interface eth0.100: the kernel of this machine has no VLANs: load its module 8021q" {
		t.Errorf("problems: %s", p)
	}
	m.wants("eth0 mtu 1500 up true", "eth1 mtu 1500 up false")
}
