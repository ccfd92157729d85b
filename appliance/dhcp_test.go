package appliance_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/testenv"
)

// lend has busybox's DHCP server lend one address on the network of a node.
func (n *node) lend(addr string) (stop func()) {
	n.t.Helper()
	busybox := testenv.RequireTool(n.t, "busybox")
	dir := n.t.TempDir()
	conf := "start " + addr + "\nend " + addr + "\ninterface svc0\nlease_file " + dir + "/leases\npidfile " + dir + "/pid\noption subnet 255.255.255.0\noption lease 600\n"
	n.must(errors.Join(os.WriteFile(dir+"/conf", []byte(conf), 0o600), os.WriteFile(dir+"/leases", nil, 0o600)))
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, busybox, "udhcpd", "-f", dir+"/conf")
	n.must(n.ns.Do(cmd.Start))
	stop = func() { cancel(); _ = cmd.Wait() }
	n.t.Cleanup(stop)
	return stop
}

// https reports whether somebody speaks TLS at an address, as seen from a node.
func (n *node) https(addr string) bool {
	var c *tls.Conn
	err := n.ns.Do(func() (err error) {
		d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		ctx, cancel := context.WithTimeout(n.t.Context(), time.Second)
		defer cancel()
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			c, _ = conn.(*tls.Conn)
		}
		return err
	})
	if err != nil {
		return false
	}
	defer c.Close()
	return strings.Contains(strings.Join(ipNames(c), " "), strings.Split(addr, ":")[0])
}

// ipNames are the addresses that a certificate names.
func ipNames(c *tls.Conn) (out []string) {
	for _, ip := range c.ConnectionState().PeerCertificates[0].IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

// TestManagementByDHCP: no server makes a node take a VIP; the WebUI is at the address that
// is leased, by a certificate that names it; no service can be put there.
func TestManagementByDHCP(t *testing.T) {
	n, other := newPairOfNodes(t)
	n.settings("lb1", 100)
	n.must(os.WriteFile(filepath.Join(n.dir, "dataplane"), []byte("auto"), 0o600))
	stop := other.lend("192.168.94.110") // the VIP
	n.start()
	until(t, "it answers", func() bool { _, err := n.client.System(t.Context()); return err == nil })
	n.must(n.client.SetSystem(t.Context(), "", api.Fields{"interfaces[0].name": "svc0", "interfaces[0].dhcp": "true"}))
	n.must(n.client.SetPart(t.Context(), "", "node", api.Fields{"management_dhcp": "svc0"}))
	n.must(n.client.Apply(t.Context(), "", "1m"))
	n.must(n.client.Keep(t.Context()))
	until(t, "the VIP is not taken", func() bool {
		return strings.Contains(strings.Join(n.status().Problems, "\n"), "lends 192.168.94.110, which is not taken, as it is the VIP web")
	})
	stop()
	other.lend("192.168.94.50")
	until(t, "an address is leased", func() bool { return n.machine("192.168.94.50/24 dhcp") })
	until(t, "the WebUI is there", func() bool { return other.https("192.168.94.50:9443") })
	n.must(n.client.SetService(t.Context(), "", "web", api.Fields{"address": "192.168.94.50"}))
	d, err := n.client.Draft(t.Context())
	if err != nil || len(d.Mistakes) != 1 || !strings.Contains(d.Mistakes[0].Message, "svc0 has the address 192.168.94.50 by DHCP") {
		t.Errorf("%+v, %v", d, err)
	}
	n.must(n.client.Discard(t.Context(), ""))
	n.must(n.client.SetPart(t.Context(), "", "node", api.Fields{"management_dhcp": ""}))
	n.must(n.client.SetSystem(t.Context(), "", api.Fields{"interfaces[0].name": "", "interfaces[0].dhcp": "", "interfaces[0].enabled": ""}))
	n.must(n.client.Apply(t.Context(), "", "1m"))
	until(t, "the WebUI is gone with its address", func() bool {
		return !n.machine("192.168.94.50/24 dhcp") && !other.https("192.168.94.50:9443")
	})
}
