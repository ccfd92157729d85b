package health

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// patience is the timeout of checks that must run into it: long enough for a
// handshake on a busy machine that stands still for a second.
const patience = 3 * time.Second

// guideProbe is the guide's check of a server at addr.
func guideProbe(addr netip.AddrPort) plan.Probe {
	return plan.Probe{
		ID: lb.RealID{Service: "Harmonic_Management", Real: "HM1"}, Target: addr.Addr(), Port: addr.Port(),
		Check: lb.HealthCheck{
			Kind: lb.CheckNegotiate, Scheme: lb.HTTPS, Port: addr.Port(), Path: "/admin/status",
			Match: lb.MatchEquals, Expect: "Healthy", Statuses: []int{200},
			Interval: time.Second, Timeout: time.Minute, Fall: 2, Rise: 2,
		},
	}
}

func addrPort(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return ap
}

// certificate makes a self-signed certificate that ends at the given time.
func certificate(t *testing.T, until time.Time) tls.Certificate {
	t.Helper()
	return certificateOf(t, "vos1", until)
}

// certificateOf is one whose subject has that name.
func certificateOf(t *testing.T, name string, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsServer serves handler over TLS on loopback.
func tlsServer(t *testing.T, cert tls.Certificate, handler http.HandlerFunc) netip.AddrPort {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return addrPort(t, server.Listener.Addr())
}

// rawServer hands each accepted connection to serve and closes it afterwards.
func rawServer(t *testing.T, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test listener on loopback
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return addrPort(t, l.Addr())
}

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
}

func status(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/login")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(text))
	}
}

// drip writes one byte now and then until the client has had enough.
func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := w.Write([]byte("H")); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// huge writes far more than anybody should read.
func huge(w http.ResponseWriter, r *http.Request) {
	chunk := []byte(strings.Repeat("Healthy ", 8192))
	for range 1 << 14 {
		if _, err := w.Write(chunk); err != nil || r.Context().Err() != nil {
			return
		}
	}
}

func TestServerBehaviours(t *testing.T) {
	t.Parallel()
	good := certificate(t, time.Now().Add(365*24*time.Hour))
	contains := func(c *lb.HealthCheck) { c.Match = lb.MatchContains }
	anything := func(c *lb.HealthCheck) { c.Match, c.Expect = lb.MatchAny, "" }
	soon := func(c *lb.HealthCheck) { c.Timeout = patience }
	tests := []struct {
		name    string
		handler http.HandlerFunc
		edit    func(*lb.HealthCheck)
		status  int
		failed  string // "" = healthy
	}{
		{"Healthy", body("Healthy"), nil, 200, ""},
		{"Healthy CRLF", body("Healthy\r\n"), nil, 200, ""},
		{"Healthy blanks", body("Healthy \t\n\n"), nil, 200, ""},
		{"lower case", body("healthy"), nil, 200, "got 200 `healthy`, wanted body equal to `Healthy`"},
		{"leading blank", body(" Healthy"), nil, 200, "got 200 ` Healthy`, wanted body equal to `Healthy`"},
		{"Not Healthy", body("Not Healthy"), nil, 200, "got 200 `Not Healthy`, wanted body equal to `Healthy`"},
		{"Degraded", body("Degraded"), nil, 200, "got 200 `Degraded`, wanted body equal to `Healthy`"},
		{"empty", body(""), nil, 200, "got 200 ``, wanted body equal to `Healthy`"},
		{"500 and Healthy", status(500, "Healthy"), nil, 500, "got 500 `Healthy`, wanted status 200"},
		{"404 and Healthy, any body", status(404, "Healthy"), anything, 404, "got 404 `Healthy`, wanted status 200"},
		{"301", status(301, "Healthy"), nil, 301, "got 301, a redirect to /login that is not followed, wanted status 200"},
		{"204 wanted", status(204, ""), func(c *lb.HealthCheck) { anything(c); c.Statuses = []int{200, 204} }, 204, ""},
		{"contains", body("all is Healthy here"), contains, 200, ""},
		{"contains not", body("all is well"), contains, 200, "got 200 `all is well`, wanted body to contain `Healthy`"},
		{"any", body("whatever"), anything, 200, ""},
		{"huge body", huge, nil, 200, "got 200 `" + strings.Repeat("Healthy ", 32) + "…`, wanted body equal to `Healthy`"},
		{"huge body contains", huge, contains, 200, ""},
		{"control characters", body("\x1b[31mred\x00"), nil, 200, "got 200 `·[31mred·`, wanted body equal to `Healthy`"},
		{"slow drip", drip, soon, 200, "got 200 `HHHH"},
		{"hang before the header", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, soon, 0, "no answer within 3s while waiting for the answer"},
		{"aborted", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, 0, "the server closed the connection while waiting for the answer"},
		{"broken off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("Healthy"))
		}, anything, 200, "the answer broke off while reading the body"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := guideProbe(tlsServer(t, good, tt.handler))
			if tt.edit != nil {
				tt.edit(&p.Check)
			}
			v := newProber(Options{}).check(t.Context(), p)
			if v.OK != (tt.failed == "") || !strings.HasPrefix(v.Failed, tt.failed) || v.Status != tt.status {
				t.Fatalf("got %+v,\nwant status %d, failed %q", v, tt.status, tt.failed)
			}
			if v.Target != fmt.Sprintf("https://127.0.0.1:%d/admin/status", p.Port) || !strings.HasPrefix(v.Sent, "GET /admin/status HTTP/1.1") {
				t.Errorf("target %q, sent %q", v.Target, v.Sent)
			}
			if v.At.IsZero() || v.Connect <= 0 || v.Total < v.Connect || v.Total < v.FirstByte || len(v.Body) > maxShown+3 {
				t.Errorf("timings %+v", v)
			}
			if !strings.Contains(v.TLS, "TLS 1.3") || !strings.Contains(v.TLS, "CN=vos1") || !strings.Contains(v.TLS, "SPKI sha256:") {
				t.Errorf("TLS %q", v.TLS)
			}
		})
	}
}

func TestExpiredCertificateIsRecordedNotRefused(t *testing.T) {
	t.Parallel()
	addr := tlsServer(t, certificate(t, time.Date(2024, 2, 3, 0, 0, 0, 0, time.UTC)), body("Healthy"))
	v := newProber(Options{}).check(t.Context(), guideProbe(addr))
	if !v.OK || !strings.Contains(v.TLS, "EXPIRED 2024-02-03") {
		t.Fatalf("got %+v", v)
	}
}

// TestTalkativeServer: what a server says at length is kept in short.
func TestTalkativeServer(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a\x1b\"é", 12_000)
	cert := certificateOf(t, long, time.Now().Add(time.Hour))
	redirect := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/"+strings.ReplaceAll(long, "\x1b", "")) // not allowed in a header
		w.WriteHeader(http.StatusFound)
	}
	p := guideProbe(tlsServer(t, cert, redirect))
	v := newProber(Options{}).check(t.Context(), p)
	if v.Status != http.StatusFound || len(v.Failed) > maxFailed || len(v.TLS) > maxTLS {
		t.Errorf("status %d, %d bytes of failure, %d of TLS", v.Status, len(v.Failed), len(v.TLS))
	}
	if want := "got 302, a redirect to /a"; !strings.HasPrefix(v.Failed, want) || !strings.HasSuffix(v.Failed, "… that is not followed, wanted status 200") {
		t.Errorf("failed %q, want %s…", v.Failed, want)
	}
	if !strings.Contains(v.TLS, "CN=a") || !strings.Contains(v.TLS, "…") || !strings.Contains(v.TLS, "SPKI sha256:") {
		t.Errorf("TLS %q", v.TLS)
	}
	if strings.ContainsRune(v.Failed+v.TLS, '\x1b') {
		t.Errorf("not printable: %q, %q", v.Failed, v.TLS)
	}
}

func TestRawServers(t *testing.T) {
	t.Parallel()
	refused := deafPort(t)
	plain := func(p *plan.Probe) { p.Check.Scheme = lb.HTTP }
	soon := func(p *plan.Probe) { p.Check.Timeout = patience }
	connect := func(p *plan.Probe) { p.Check.Kind = lb.CheckConnect }
	silent := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) } // until the client leaves
	tests := []struct {
		name   string
		addr   netip.AddrPort
		edit   func(*plan.Probe)
		failed string
	}{
		{"refused", refused, nil, "connection refused while connecting"},
		{"refused connect", refused, connect, "connection refused while connecting"},
		{"connect", rawServer(t, func(net.Conn) {}), connect, ""},
		{"hang before TLS", rawServer(t, silent), soon, "no answer within 3s while negotiating TLS"},
		{"hang", rawServer(t, silent), func(p *plan.Probe) { plain(p); soon(p) }, "no answer within 3s while waiting for the answer"},
		{"connect to one that hangs", rawServer(t, silent), connect, ""},
		{"reset", rawServer(t, reset), plain, "the server reset the connection while waiting for the answer"},
		{"half open", rawServer(t, halfOpen), plain, "the server closed the connection while waiting for the answer"},
		{"not TLS", rawServer(t, speak("HTTP/1.1 400 Bad Request\r\n\r\n")), nil, "the server does not speak TLS on this port while negotiating TLS"},
		{"RTSP", rawServer(t, speak("RTSP/1.0 400 Bad Request\r\n\r\n")), plain, `malformed HTTP version "RTSP/1.0" while waiting for the answer`},
		{"interim", rawServer(t, speak("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n\r\nHealthy")), plain, ""},
		{"endless header", rawServer(t, endless), plain, "the header is longer than 64 KiB while waiting for the answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := guideProbe(tt.addr)
			if tt.edit != nil {
				tt.edit(&p)
			}
			v := newProber(Options{}).check(t.Context(), p)
			if v.Failed != tt.failed || v.OK != (tt.failed == "") {
				t.Fatalf("got %+v, want failed %q", v, tt.failed)
			}
		})
	}
}

// deafPort is a port that nobody listens on, and that nobody else gets meanwhile.
func deafPort(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(at.(*unix.SockaddrInet4).Port))
}

// reset answers the request with a TCP reset.
func reset(c net.Conn) {
	_, _ = c.Read(make([]byte, 4096))
	_ = c.(*net.TCPConn).SetLinger(0)
}

// halfOpen closes its sending side without an answer and keeps the connection.
func halfOpen(c net.Conn) {
	_ = c.(*net.TCPConn).CloseWrite()
	_, _ = c.Read(make([]byte, 4096))
	_, _ = c.Read(make([]byte, 4096))
}

func speak(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = c.Write([]byte(text))
	}
}

func endless(c net.Conn) {
	_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n"))
	for range 10_000 {
		if _, err := c.Write([]byte("X-Padding: " + strings.Repeat("x", 1000) + "\r\n")); err != nil {
			return
		}
	}
}

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	name := make(chan string, 1)
	addr := tlsServer(t, certificate(t, time.Now().Add(time.Hour)), func(w http.ResponseWriter, r *http.Request) {
		got <- r
		name <- r.TLS.ServerName
		_, _ = w.Write([]byte("Healthy"))
	})
	p := guideProbe(addr)
	p.Check.Path, p.Check.Host = "/admin/status?deep=1", "vos.example.org"
	if v := newProber(Options{}).check(t.Context(), p); !v.OK {
		t.Fatal(v.Failed)
	}
	r := <-got
	if r.Method != http.MethodGet || r.RequestURI != "/admin/status?deep=1" || r.Proto != "HTTP/1.1" || r.Host != "vos.example.org" || !r.Close {
		t.Fatalf("%s %s %s, host %s, close %v", r.Method, r.RequestURI, r.Proto, r.Host, r.Close)
	}
	if n := <-name; n != "vos.example.org" {
		t.Fatalf("server name %q", n)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	conn, err := net.ListenPacket("ip4:icmp", "127.0.0.1") //nolint:noctx // a probe for the capability
	if errors.Is(err, os.ErrPermission) {
		testenv.Missing(t, "raw-sockets", err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	addrs := []string{"127.0.0.1"}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil { //nolint:noctx // a probe for IPv6
		_ = l.Close()
		addrs = append(addrs, "::1")
	}
	for _, a := range addrs {
		p := guideProbe(netip.AddrPortFrom(netip.MustParseAddr(a), 0))
		p.Check.Kind = lb.CheckPing
		v := newProber(Options{}).check(t.Context(), p)
		if !v.OK || v.Target != "icmp "+a || v.Sent != "ICMP echo" || v.Total <= 0 {
			t.Errorf("%s: %+v", a, v)
		}
	}
}

func TestPingWithoutReply(t *testing.T) {
	t.Parallel()
	p := guideProbe(netip.MustParseAddrPort("127.0.0.1:0"))
	p.Check.Kind, p.Check.Timeout = lb.CheckPing, 10*time.Millisecond
	silent := func(ctx context.Context, _ netip.Addr) error {
		<-ctx.Done()
		return stageError{"waiting for the echo reply", ctx.Err()}
	}
	v := newProber(Options{Ping: silent}).check(t.Context(), p)
	if want := "no answer within 10ms while waiting for the echo reply"; v.OK || v.Failed != want {
		t.Fatalf("got %q, want %q", v.Failed, want)
	}
	if isReply([]byte{8, 0, 0, 0, 0, 0, 0, 1, 'x'}, []byte("x")) || isReply([]byte{0}, nil) || !isReply([]byte{129, 0, 0, 0, 0, 0, 0, 1, 'x'}, []byte("x")) {
		t.Fatal("replies are told apart wrongly")
	}
}

func TestEngineAgainstARealServer(t *testing.T) {
	t.Parallel()
	state := make(chan string, 1)
	state <- "Healthy"
	addr := tlsServer(t, certificate(t, time.Now().Add(time.Hour)), func(w http.ResponseWriter, _ *http.Request) {
		s := <-state
		state <- s
		_, _ = w.Write([]byte(s))
	})
	e := New(Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	p := guideProbe(addr)
	p.Check.Interval, p.Check.Fast = 30*time.Millisecond, 10*time.Millisecond
	if err := e.Set(ctx, []plan.Probe{p}); err != nil {
		t.Fatal(err)
	}
	await := func(up bool) {
		t.Helper()
		for e.Up()[p.ID] != up {
			select {
			case <-e.Changes():
			case <-ctx.Done():
				t.Fatalf("not %v in time: %+v", up, e.Snapshot()[p.ID])
			}
		}
	}
	await(true)
	<-state
	state <- "Degraded"
	await(false)
	if v := e.Snapshot()[p.ID].Last; v.Failed != "got 200 `Degraded`, wanted body equal to `Healthy`" {
		t.Fatalf("verdict %+v", v)
	}
	<-state
	state <- "Healthy"
	await(true)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
