package vmexec_test

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/testenv"
)

// What the tests of other packages count on, and the kernel of this machine may lack: the
// modules are there and are loaded when somebody asks for them.
func TestKernelHasWhatTestsNeed(t *testing.T) {
	for name, try := range map[string]func() error{
		"ipvs": func() error { _, err := netlink.GenlFamilyGet("IPVS"); return err },
		"vlan": func() error {
			return onDummy(func(l netlink.Link) error {
				return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "v7", ParentIndex: l.Attrs().Index}, VlanId: 7})
			})
		},
		"bond": func() error {
			return netlink.LinkAdd(netlink.NewLinkBond(netlink.LinkAttrs{Name: "bond7"}))
		},
		"netem": func() error {
			return onDummy(func(l netlink.Link) error {
				return netlink.QdiscAdd(netlink.NewNetem(
					netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
					netlink.NetemQdiscAttrs{Loss: 10}))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := testenv.NewNS(t).Do(try)
			if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
				testenv.Missing(t, name, err.Error())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// onDummy runs fn with an interface of its own, of any kind that the kernel has.
func onDummy(fn func(netlink.Link) error) error {
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "one"}, PeerName: "other"}
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	return fn(veth)
}
