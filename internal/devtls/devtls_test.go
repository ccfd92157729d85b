package devtls

import (
	"crypto/tls"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func names(addrs ...string) Names {
	n := Names{Host: "lb1"}
	for _, a := range addrs {
		n.Addrs = append(n.Addrs, netip.MustParseAddr(a))
	}
	return n
}

func TestLoadKeepsTheCertificateAndThePin(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	first, err := Load(dir, names("127.0.0.1"), now)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
	tests := map[string]struct {
		names Names
		now   time.Time
		same  bool
	}{
		"again":       {names("127.0.0.1"), now.Add(time.Hour), true},
		"new address": {names("127.0.0.1", "::1"), now, false},
		"expiring":    {names("127.0.0.1", "::1"), now.Add(lifetime - time.Hour), false},
	}
	for _, name := range []string{"again", "new address", "expiring"} {
		tt := tests[name]
		got, err := Load(dir, tt.names, tt.now)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if same := got.Leaf.Equal(first.Leaf); same != tt.same {
			t.Errorf("%s: same certificate = %t, want %t", name, same, tt.same)
		}
		if Pin(got.Leaf) != Pin(first.Leaf) {
			t.Errorf("%s: the pin changed", name)
		}
	}
}

func TestLoadRefusesADamagedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	if err := os.WriteFile(path, []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(dir, names(), time.Now())
	if err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v, want an error that says what to do", err)
	}
	if left, _ := os.ReadFile(path); string(left) != "garbage" {
		t.Error("the damaged file was replaced")
	}
}

func TestPinDecides(t *testing.T) {
	now := time.Now()
	cert, err := Load(t.TempDir(), names(), now)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Load(t.TempDir(), names(), now)
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(t, cert, Pin(cert.Leaf)); err != nil {
		t.Errorf("right pin refused: %v", err)
	}
	if err := handshake(t, cert, Pin(other.Leaf)); err == nil {
		t.Error("wrong pin accepted")
	}
	for _, pin := range []string{"x", "sha256//", "sha256//AAAA", Pin(cert.Leaf)[8:]} {
		if _, err := ClientConfig(pin); err == nil {
			t.Errorf("pin %q accepted", pin)
		}
	}
}

// handshake connects over loopback and returns the client's verdict.
func handshake(t *testing.T, cert tls.Certificate, pin string) error {
	t.Helper()
	cfg, err := ClientConfig(pin)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, refused := ln.Accept(); refused == nil {
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err == nil {
		_ = conn.Close()
	}
	_ = ln.Close()
	<-done
	return err
}
