package appliance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/internal/devtls"
)

const (
	lookWithin = 5 * time.Second
	// clocksApart is what certificates and audit trails of a pair can bear.
	clocksApart = time.Minute
)

// LookAt looks at a future peer without any password: its certificate, its clock, and the
// address of this node towards it.
func (p *pairing) LookAt(ctx context.Context, address string) (api.PeerReport, error) {
	addr, err := peerAddr(address)
	if err != nil {
		return api.PeerReport{}, &mgmt.FieldsError{Fields: map[string]string{"address": err.Error()}}
	}
	cfg, _ := p.facts.current()
	out := api.PeerReport{Address: addr.String(), Blocks: p.blocks(cfg)}
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	conn, err := (&tls.Dialer{Config: &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // the person compares the fingerprint before a password leaves
		MinVersion:         tls.VersionTLS12,
	}}).DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return out, &mgmt.FieldsError{Fields: map[string]string{"address": fmt.Sprintf("no appliance answers at %s: %v", addr, err)}}
	}
	defer conn.Close()
	secure, ok := conn.(*tls.Conn)
	if !ok || len(secure.ConnectionState().PeerCertificates) == 0 {
		return out, errors.New("the peer showed no certificate")
	}
	out.Fingerprint = devtls.Pin(secure.ConnectionState().PeerCertificates[0])
	out.Locals, out.Blocks = p.towards(conn.LocalAddr(), addr, out.Blocks)
	if apart, err := p.clock(ctx, out); err != nil {
		out.Blocks = append(out.Blocks, fmt.Sprintf("what answers at %s is no appliance: %v", addr, err))
	} else if apart.Abs() > clocksApart {
		out.Blocks = append(out.Blocks, fmt.Sprintf("the clocks are %v apart: set the time on both nodes first", apart.Round(time.Second).Abs()))
	}
	return out, nil
}

// towards lists the addresses of this node for the pair: the one that leads to the peer
// first, then the others of its management. No virtual address is among them.
func (p *pairing) towards(used net.Addr, peer netip.AddrPort, blocks []string) (locals, _ []string) {
	own, err := netip.ParseAddrPort(used.String())
	if err != nil {
		return nil, blocks
	}
	local := own.Addr().Unmap()
	if local == peer.Addr() {
		blocks = append(blocks, fmt.Sprintf("%s is this node itself: write the other node's address", local))
	}
	cfg, _ := p.facts.current()
	locals = []string{local.String()}
	for _, m := range cfg.Node.Management {
		a := m.Addr()
		if a.Is4() == local.Is4() && !a.IsUnspecified() && !slices.Contains(locals, a.String()) {
			locals = append(locals, a.String())
		}
	}
	return locals, blocks
}

// clock compares the peer's clock with ours.
func (p *pairing) clock(ctx context.Context, peer api.PeerReport) (time.Duration, error) {
	cfg, err := devtls.ClientConfig(peer.Fingerprint)
	if err != nil {
		return 0, err
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+peer.Address+api.PathHealthz, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("it answered %s", resp.Status)
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	return date.Sub(time.Now().Truncate(time.Second)), err
}
