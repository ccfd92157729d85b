package sentinel_test

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// isolate makes a bridge port swallow everything while it keeps its carrier: it is
// taken out of the bridge.
func isolate(port string) error {
	l, err := netlink.LinkByName(port)
	if err != nil {
		return err
	}
	return netlink.LinkSetNoMaster(l)
}

// mute cuts the nodes from each other on the bridge while both reach the switch
// itself, and its ping node.
func mute(cut bool) error {
	var errs []error
	for i := range 2 {
		l, err := netlink.LinkByName(fmt.Sprintf("port%d", i))
		if err != nil {
			return err
		}
		errs = append(errs, netlink.LinkSetIsolated(l, cut))
	}
	return errors.Join(errs...)
}
