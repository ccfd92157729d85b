package appliance_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/devtls"
	"github.com/vosbed/vosbed/internal/netns"
)

const managementFile = `
node: {name: lb1, management: ["192.168.94.101:9443"]}
services:
  - name: Harmonic_Management
    address: 192.168.94.110
    ports: "8080,8443"
    layer: 7
    check: {type: connect, port: 8080, interval: 100ms, timeout: 1s, fast: 50ms, fall: 1, rise: 1, jitter: 0}
    real_servers:
      - {name: HM1, address: 192.168.94.105}
      - {name: HM2, address: 192.168.94.106}
`

// webNode is a node out of the box, with a configuration, and a host beside it.
func webNode(t *testing.T, config string) (n *node, beside *netns.NS) {
	t.Helper()
	n, other := freshPair(t)
	other.stop()
	n.must(os.WriteFile(n.file(), []byte(config), 0o600))
	n.must(n.client.Reload(t.Context()))
	return n, other.ns
}

// visitor is a browser of a host, which takes any certificate and keeps no connection.
func visitor(host *netns.NS) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it looks at the certificate itself
		DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			err = host.Do(func() (err error) {
				c, err = new(net.Dialer).DialContext(ctx, network, addr)
				return err
			})
			return c, err
		},
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// seen is what a browser got; a connection that fails has status 0.
type seen struct {
	status int
	page   string
	header http.Header
	closes bool
	pin    string // of the certificate, "" = none
}

func see(t *testing.T, c *http.Client, url string) (s seen) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return seen{page: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return seen{page: err.Error()}
	}
	s = seen{status: resp.StatusCode, page: string(body), header: resp.Header, closes: resp.Close}
	if resp.TLS != nil {
		s.pin = devtls.Pin(resp.TLS.PeerCertificates[0])
	}
	return s
}

// realServers are HM1 and HM2; the function that it returns takes them down.
func (n *node) realServers() (stop func()) {
	n.t.Helper()
	var all []*http.Server
	cert, err := devtls.Load(n.t.TempDir(), devtls.Names{Host: "vos"}, time.Now())
	n.must(err)
	n.must(n.ns.Do(func() error {
		l, err := netlink.LinkByName("svc0")
		if err != nil {
			return err
		}
		for _, last := range []byte{105, 106} {
			own := &net.IPNet{IP: net.IPv4(192, 168, 94, last), Mask: net.CIDRMask(24, 32)}
			if err = netlink.AddrReplace(l, &netlink.Addr{IPNet: own}); err != nil {
				return err
			}
			for _, port := range []int{8080, 8443} {
				ln, err := new(net.ListenConfig).Listen(n.t.Context(), "tcp", fmt.Sprintf("%s:%d", own.IP, port))
				if err != nil {
					return err
				}
				if port == 8443 {
					ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
				}
				srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, "VOS")
				})}
				go func() { _ = srv.Serve(ln) }()
				all = append(all, srv)
			}
		}
		return nil
	}))
	stop = func() {
		for _, srv := range all {
			_ = srv.Close()
		}
	}
	n.t.Cleanup(stop)
	return stop
}

// TestFallbackThroughTheVIP: a browser at VIP 1 sees the page over both protocols while
// both servers are down, or halted, and the servers again after that.
func TestFallbackThroughTheVIP(t *testing.T) {
	n, host := webNode(t, managementFile)
	stop := n.realServers()
	client := visitor(host)
	urls := []string{"http://192.168.94.110:8080/", "https://192.168.94.110:8443/admin"}
	both := func(status int, words string) func() bool {
		return func() bool {
			for _, u := range urls {
				if got := see(t, client, u); got.status != status || !strings.Contains(got.page, words) {
					return false
				}
			}
			return true
		}
	}
	shows := func() bool { s := n.status().Services; return len(s) == 1 && s[0].Fallback }
	until(t, "the servers answer", both(http.StatusOK, "VOS"))
	if shows() {
		t.Error("the status tells of the page, though both servers are up")
	}
	stop()
	until(t, "the fallback page", both(http.StatusServiceUnavailable, "temporarily unavailable"))
	until(t, "the status tells", shows)
	if got := see(t, client, urls[0]); got.header.Get("Retry-After") != "30" || !got.closes {
		t.Errorf("the answer has %v", got.header)
	}
	n.must(n.client.SetFallbackPage(t.Context(), "<p>back at noon</p>"))
	until(t, "another page", both(http.StatusServiceUnavailable, "back at noon"))
	entries, err := n.client.Persistence(t.Context(), api.Filter{})
	if err != nil || len(entries) != 0 {
		t.Errorf("entries for the page: %v, %v", entries, err)
	}
	for _, scheme := range []string{"http", "https"} { // the port of guide 9.5
		if got := see(t, client, scheme+"://192.168.94.101:9081/"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.page, "back at noon") {
			t.Errorf("at 9081: %+v", got)
		}
	}

	n.realServers()
	until(t, "the servers are back", both(http.StatusOK, "VOS"))
	for _, server := range []string{"HM1", "HM2"} {
		n.must(n.client.SetServer(t.Context(), "Harmonic_Management", server, api.ServerState{State: "halt"}))
	}
	until(t, "the page of a service that is halted", both(http.StatusServiceUnavailable, "back at noon"))
	n.must(n.client.SetService(t.Context(), "", "Harmonic_Management", api.Fields{"proxy.fallback": "false"}))
	n.must(n.client.Apply(t.Context(), "", ""))
	until(t, "clients are refused without it", both(0, ""))
}

// TestTheWebUIMoves: an address that is taken changes nothing; a good one is in use at
// once, on trial, and goes back by itself.
func TestTheWebUIMoves(t *testing.T) {
	n, host := webNode(t, "node: {name: lb1, management: [\"192.168.94.101:9443\"]}\n")
	client := visitor(host)
	at := func(url string, want int) func() bool {
		return func() bool { return see(t, client, url).status == want }
	}
	const former, moved, plain = "https://192.168.94.101:9443/lbadmin/login", "https://192.168.94.101:9444/lbadmin/login", "http://192.168.94.101:9080/lbadmin/login"
	until(t, "up", at(former, http.StatusOK))
	if got := see(t, client, plain); got.status != 0 {
		t.Fatalf("plain HTTP without being asked for: %+v", got)
	}
	n.must(n.ns.Do(func() error {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "192.168.94.101:9445")
		if err == nil {
			t.Cleanup(func() { _ = ln.Close() })
		}
		return err
	}))
	set := func(fields api.Fields) { n.must(n.client.SetPart(t.Context(), "", "node", fields)) }
	set(api.Fields{"management": "192.168.94.101:9445"})
	if err := n.client.Apply(t.Context(), "", "60s"); err == nil || !strings.Contains(err.Error(), "node.management: 192.168.94.101:9445 cannot be opened") {
		t.Errorf("a port that is taken: %v", err)
	}
	if !at(former, http.StatusOK)() {
		t.Error("a refused change closed the door")
	}
	set(api.Fields{"management": "192.168.94.101:9444", "management_http": "192.168.94.101"})
	if err := n.client.Apply(t.Context(), "", ""); err == nil || !strings.Contains(err.Error(), "goes on trial") {
		t.Errorf("for good: %v", err)
	}
	n.must(n.client.Apply(t.Context(), "", "5s"))
	until(t, "it has moved", at(moved, http.StatusOK))
	if got := see(t, client, plain); got.status != http.StatusFound || got.header.Get("Location") != "https://192.168.94.101:9444/lbadmin/" {
		t.Errorf("plain HTTP: %+v", got)
	}
	until(t, "the former address is closed", at(former, 0))
	until(t, "it goes back by itself", at(former, http.StatusOK))
	until(t, "the other addresses are closed", func() bool { return at(moved, 0)() && at(plain, 0)() })
}

// certify makes a certificate for an address, and returns it and its key in PEM.
func certify(t *testing.T, addr string, ends time.Time) (chain, key, pin string) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "lb.example"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: ends,
		IPAddresses: []net.IP{net.ParseIP(addr)}, DNSNames: []string{"lb.example"},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, data []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", text), devtls.Pin(cert)
}

// TestOwnCertificate: it is in use at once, survives a restart, is never told with its key,
// and the node reminds of its end.
func TestOwnCertificate(t *testing.T) {
	n, host := webNode(t, "node: {name: lb1, management: [\"192.168.94.101:9443\"]}\n")
	client, ctx := visitor(host), t.Context()
	const url = "https://192.168.94.101:9443/lbadmin/login"
	pinned := func(pin string) func() bool {
		return func() bool { return see(t, client, url).pin == pin }
	}
	before, err := n.client.Certificate(ctx)
	n.must(err)
	until(t, "the self-made certificate", pinned(before.Pin))
	chain, key, pin := certify(t, "192.168.94.101", time.Now().Add(5*24*time.Hour))
	_, other, _ := certify(t, "192.168.94.101", time.Now().Add(time.Hour))
	var problem *api.ProblemError
	if _, err = n.client.SetCertificate(ctx, api.NewCertificate{Chain: chain, Key: other}); !errors.As(err, &problem) || problem.Problem.Fields["key"] == "" {
		t.Errorf("another's key: %v", err)
	}
	got, err := n.client.SetCertificate(ctx, api.NewCertificate{Chain: chain, Key: key})
	n.must(err)
	if !got.Uploaded || got.Pin != pin || got.KeyType != "RSA, 2048 bits" || len(got.Warnings) != 2 {
		t.Errorf("it is %+v", got)
	}
	until(t, "the uploaded certificate", pinned(pin))
	if see(t, client, url).header.Get("Strict-Transport-Security") != "" {
		t.Error("HSTS with a certificate that nobody has vouched for: people would be locked out")
	}
	until(t, "a reminder", func() bool {
		return strings.Contains(strings.Join(n.status().Problems, "\n"), "urgent: the certificate of the WebUI expires in 4 days")
	})
	info, err := os.Stat(filepath.Join(n.dir, "state", "uploaded.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	n.stop()
	n.start()
	until(t, "it survives a restart", pinned(pin))
	_, err = n.client.ResetCertificate(ctx)
	n.must(err)
	until(t, "the self-made one again", pinned(before.Pin))
	if trail, err := n.client.Audit(ctx); err != nil || strings.Contains(fmt.Sprint(trail), "PRIVATE") || !strings.Contains(fmt.Sprint(trail), got.Fingerprint) {
		t.Errorf("the trail: %v, %v", trail, err)
	}
}

// TestPairWithAnUploadedCertificate: the peer is known by what it shows, whoever made it.
func TestPairWithAnUploadedCertificate(t *testing.T) {
	a, b := freshPair(t)
	ctx := t.Context()
	chain, key, pin := certify(t, "192.168.94.102", time.Now().Add(90*24*time.Hour))
	_, err := b.client.SetCertificate(ctx, api.NewCertificate{Chain: chain, Key: key})
	b.must(err)
	var report api.PeerReport
	until(t, "the peer shows it", func() bool {
		report, err = a.client.LookAtPeer(ctx, "192.168.94.102")
		return err == nil && report.Fingerprint == pin && len(report.Blocks) == 0
	})
	a.must(a.client.CreatePair(ctx, api.PairCreate{Local: "192.168.94.101", Address: report.Address, Fingerprint: pin, Password: goodPassword}))
	a.must(a.client.Apply(ctx, "", ""))
	until(t, "a pair", func() bool { return a.is("active")() && b.is("passive")() })
}
