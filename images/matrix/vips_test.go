package matrix_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/simvos/control"
)

// guideConfig is the guide's configuration (sections 5.2 and 10) on a node that has no peer:
// both virtual services of the reference configuration, and the machine's own addresses.
func guideConfig(t *testing.T) string {
	t.Helper()
	cfg, err := config.Parse("reference.yaml", config.Reference)
	must(t, err)
	cfg.Cluster.Paired, cfg.Cluster.SecretFile = false, ""
	cfg.Node.Paths, cfg.Node.Replication, cfg.Node.PingNodes = nil, lb.Replication{}, nil
	cfg.Node.System = lb.System{Hostname: "lb1", Interfaces: []lb.Interface{
		{Name: "eth0", Addrs: []netip.Prefix{netip.MustParsePrefix(machineIP + "/24")}},
		{Name: "eth1", Addrs: []netip.Prefix{netip.MustParsePrefix("10.94.0.1/30")}},
	}}
	text, err := config.Encode(cfg)
	must(t, err)
	return string(text)
}

// serving waits until every client is served by both VIPs, and returns how long it took.
func (l *lan) serving(ctx context.Context, t *testing.T, since time.Time) time.Duration {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := l.served(ctx)
		if err == nil {
			return time.Since(since)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the VIPs do not serve: %v", err)
		}
	}
}

// served asks both VIPs as every client.
func (l *lan) served(ctx context.Context) error {
	var errs []error
	for _, client := range clientIPs() {
		errs = append(errs, l.management(ctx, client), l.traffic(ctx, client))
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// management asks VIP 1 (guide 10.1, layer 7): a management server answers, to the client
// as the VIP, and is itself asked by the machine. A client stays on one server.
func (l *lan) management(ctx context.Context, client netip.Addr) error {
	var servers []string
	before := l.asked(client)
	for _, url := range []string{"https://" + managementVIP + ":8443/admin/status", "http://" + managementVIP + ":8080/admin/status"} {
		server, err := l.status(ctx, client, url)
		if err != nil {
			return fmt.Errorf("%s as %s: %w", url, client, err)
		}
		servers = append(servers, server)
	}
	if servers[0] != servers[1] || !strings.HasPrefix(servers[0], "HM") {
		return fmt.Errorf("the management VIP led %s to %v, not to one of HM1 and HM2", client, servers)
	}
	if met := l.met(client, control.ServiceHTTPS, before); len(met) > 0 {
		return fmt.Errorf("%v were asked by %s itself: layer 7 shows them the machine", met, client)
	}
	return nil
}

// status asks a server for its status (guide 10.1.1) and returns who it is.
func (l *lan) status(ctx context.Context, client netip.Addr, url string) (server string, err error) {
	web := &http.Client{Timeout: askTime, Transport: &http.Transport{
		DialContext: l.dialer(client), DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := web.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<10))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK || string(body) != "Healthy" {
		return "", &answerError{res.Status, body}
	}
	return res.Header.Get("X-Simvos-Server"), nil
}

// answerError is an answer that is not a healthy server's.
type answerError struct {
	status string
	body   []byte
}

func (e *answerError) Error() string { return fmt.Sprintf("it answers %s, %q", e.status, e.body) }

// traffic asks VIP 2 (guide 10.2, layer 4, Direct Routing) by every kind of port that it
// has: the answers come from the VIP, and from one media server, which is asked by the
// client itself.
func (l *lan) traffic(ctx context.Context, client netip.Addr) error {
	before := l.asked(client)
	for port, ask := range map[int]func(net.Conn) error{554: askRTSP, 1935: askRTMP, 60001: askProbe} {
		if err := l.ask(ctx, client, "tcp", port, ask); err != nil {
			return err
		}
	}
	if err := l.ask(ctx, client, "udp", 60000, askProbe); err != nil {
		return err
	}
	var servers []string
	for _, protocol := range []string{control.ServiceRTSP, control.ServiceRTMP, control.ServiceProbeTCP, control.ServiceProbeUDP} {
		servers = append(servers, strings.Join(l.met(client, protocol, before), " and "))
	}
	if len(slices.Compact(slices.Clone(servers))) != 1 || len(servers[0]) != len("HT1") || !strings.HasPrefix(servers[0], "HT") {
		return fmt.Errorf("the traffic VIP led %s to %q, not to one of HT1 and HT2", client, servers)
	}
	return nil
}

// ask asks VIP 2 at a port. A connected UDP socket takes answers of the VIP only.
func (l *lan) ask(ctx context.Context, client netip.Addr, network string, port int, ask func(net.Conn) error) error {
	at := net.JoinHostPort(trafficVIP, fmt.Sprint(port))
	conn, err := l.dialer(client)(ctx, network, at)
	if err == nil {
		err = errors.Join(conn.SetDeadline(time.Now().Add(askTime)), ask(conn), conn.Close())
	}
	if err != nil {
		return fmt.Errorf("%s %s as %s: %w", network, at, client, err)
	}
	return nil
}

// askRTSP asks what a server can do (RFC 2326, 10.1).
func askRTSP(c net.Conn) error {
	if _, err := io.WriteString(c, "OPTIONS rtsp://"+trafficVIP+"/live RTSP/1.0\r\nCSeq: 1\r\n\r\n"); err != nil {
		return err
	}
	const want = "RTSP/1.0 200"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("it answers %q", got)
	}
	return nil
}

// askRTMP shakes hands (Adobe's RTMP specification, 5.2).
func askRTMP(c net.Conn) error {
	const version, size = 3, 1536
	if _, err := c.Write(append([]byte{version}, make([]byte, size)...)); err != nil {
		return err
	}
	got := make([]byte, 1+size)
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if got[0] != version {
		return fmt.Errorf("it speaks version %d", got[0])
	}
	return nil
}

// askProbe asks a media server who it is.
func askProbe(c net.Conn) error {
	if _, err := c.Write(control.ProbeRequest{Flow: 94, Seq: 1}.AppendTo(nil)); err != nil {
		return err
	}
	got := make([]byte, control.ProbeReplySize)
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	reply, err := control.DecodeProbeReply(got)
	if err == nil && reply.Marker.Server != 115 && reply.Marker.Server != 116 {
		err = fmt.Errorf("server %d answers", reply.Marker.Server)
	}
	return err
}
