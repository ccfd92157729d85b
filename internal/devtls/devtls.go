// Package devtls keeps a self-signed certificate in a folder: made at first
// start, renewed with the same key, trusted by pin. It is for management
// interfaces that have no certificate authority yet; the pin is of the public
// key, so it survives renewal and works with curl --pinnedpubkey.
package devtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	fileName = "management.pem"
	lifetime = 5 * 365 * 24 * time.Hour
	renewal  = 30 * 24 * time.Hour // before expiry
	pinMark  = "sha256//"
)

// Names are what a certificate is for: the common name, which is also a DNS
// name, and the addresses.
type Names struct {
	Host  string
	Addrs []netip.Addr
}

// Load returns the certificate kept in dir (management.pem, mode 0600). A missing
// one is made; one that is about to expire or lacks a name is issued again with
// the same key. A damaged file is an error, never replaced silently: its pin may
// be in use.
func Load(dir string, names Names, now time.Time) (tls.Certificate, error) {
	path := filepath.Join(dir, fileName)
	key, cert, err := read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return tls.Certificate{}, fmt.Errorf("make the TLS key: %w", err)
		}
	case err != nil:
		return tls.Certificate{}, fmt.Errorf("read the certificate %s (move it away to get a new one): %w", path, err)
	case usable(cert, names, now):
		return pair(key, cert), nil
	}
	if cert, err = issue(key, names, now); err != nil {
		return tls.Certificate{}, err
	}
	return pair(key, cert), write(path, key, cert)
}

func pair(key *ecdsa.PrivateKey, cert *x509.Certificate) tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

func read(path string) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	c, err := tls.X509KeyPair(data, data)
	if err != nil {
		return nil, nil, err
	}
	key, ok := c.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, errors.New("the key is not ECDSA")
	}
	return key, c.Leaf, nil
}

// usable reports whether the certificate is valid at now and covers the names.
func usable(cert *x509.Certificate, names Names, now time.Time) bool {
	if now.Before(cert.NotBefore) || now.Add(renewal).After(cert.NotAfter) {
		return false
	}
	for _, a := range names.Addrs {
		if !slices.ContainsFunc(cert.IPAddresses, net.IP(a.AsSlice()).Equal) {
			return false
		}
	}
	return names.Host == "" || slices.Contains(cert.DNSNames, names.Host)
}

func issue(key *ecdsa.PrivateKey, names Names, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make the certificate's serial number: %w", err)
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: names.Host, Organization: []string{"vosbed"}},
		NotBefore:             now.Add(-24 * time.Hour),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if names.Host != "" {
		tmpl.DNSNames = []string{names.Host}
	}
	for _, a := range names.Addrs {
		tmpl.IPAddresses = append(tmpl.IPAddresses, a.AsSlice())
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the TLS certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// write replaces the file in one step, so a crash leaves the old or the new one.
func write(path string, key *ecdsa.PrivateKey, cert *x509.Certificate) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode the TLS key: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})...)
	f, err := os.CreateTemp(filepath.Dir(path), fileName+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep the TLS certificate: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("keep the TLS certificate: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("keep the TLS certificate: %w", err)
	}
	return nil
}

// Pin returns the certificate's public-key pin in curl's notation:
// "sha256//" and the base64 SHA-256 of the SubjectPublicKeyInfo (RFC 7469).
func Pin(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return pinMark + base64.StdEncoding.EncodeToString(sum[:])
}

// ClientConfig trusts exactly the server whose public key has that pin. With an
// empty pin the system's certificate authorities decide.
func ClientConfig(pin string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if pin == "" {
		return cfg, nil
	}
	raw, ok := strings.CutPrefix(pin, pinMark)
	if sum, err := base64.StdEncoding.DecodeString(raw); !ok || err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%q is not a certificate pin: it looks like %s and 44 base64 characters", pin, pinMark)
	}
	cfg.InsecureSkipVerify = true // the pin decides instead, below
	cfg.VerifyConnection = func(s tls.ConnectionState) error {
		got := Pin(s.PeerCertificates[0])
		if subtle.ConstantTimeCompare([]byte(got), []byte(pin)) != 1 {
			return fmt.Errorf("the server's certificate has the pin %s, expected %s: wrong node, or somebody in between", got, pin)
		}
		return nil
	}
	return cfg, nil
}
