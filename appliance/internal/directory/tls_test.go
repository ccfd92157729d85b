package directory_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"testing"
	"time"

	"github.com/vosbed/vosbed/internal/devtls"
)

// writeTLS writes cert.pem, which is its own authority, and key.pem.
func writeTLS(t *testing.T, dir string, cert tls.Certificate) (ca string) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	return write(t, dir, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})))
}

// otherCert is of somebody else.
func otherCert(t *testing.T) tls.Certificate {
	t.Helper()
	cert, err := devtls.Load(t.TempDir(), devtls.Names{Host: "mallory", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
