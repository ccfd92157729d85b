package mgmt

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/front"
)

// dialFrom opens a TLS connection from a local address; an error means that it was
// turned away.
func dialFrom(t *testing.T, from, to string) (*tls.Conn, error) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	plain, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = plain.Close() })
	_ = plain.SetDeadline(time.Now().Add(20 * time.Second))
	c := tls.Client(plain, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // who answers is not what is tested
	return c, c.HandshakeContext(t.Context())
}

func TestOneSourceCannotTakeAllPlaces(t *testing.T) {
	addr, _ := startTLS(t, newServer(t, &fake{status: sample()}))
	var first *tls.Conn
	for i := range front.MaxPerSource {
		c, err := dialFrom(t, "127.0.0.1", addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i+1, err)
		}
		if first == nil {
			first = c
		}
	}
	if _, err := dialFrom(t, "127.0.0.1", addr); err == nil {
		t.Error("one address may open more than its share")
	}
	if _, err := dialFrom(t, "127.0.0.2", addr); err != nil {
		t.Errorf("another address is locked out: %v", err)
	}
	_ = first.NetConn().Close()
	back := false
	for range 200 { // until the server has seen the end
		if _, err := dialFrom(t, "127.0.0.1", addr); err == nil {
			back = true
			break
		}
	}
	if !back {
		t.Error("a place that was given back is not given again")
	}
}

func TestStrangersKeepNoConnection(t *testing.T) {
	addr, _ := startTLS(t, newServer(t, &fake{status: sample()}))
	for name, request := range map[string]string{
		"healthz":     "GET /api/v1/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"no token":    "GET /api/v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
		"wrong token": "GET /api/v1/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n",
	} {
		c, err := dialFrom(t, "127.0.0.1", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c) // the server must end it
		if err != nil || !strings.Contains(string(answer), "Connection: close") {
			t.Errorf("%s: %v, answered\n%s", name, err, answer)
		}
	}
}
