package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds of an upload.
const (
	MaxPEM   = 64 << 10 // bytes of the chain, and of the key
	maxChain = 10
	leastRSA = 2048 // bits
	mostRSA  = 8192
)

// MistakesError is what is wrong with an upload, by its part.
type MistakesError struct{ Chain, Key string }

// Error lists them.
func (m *MistakesError) Error() string {
	var out []string
	if m.Chain != "" {
		out = append(out, "certificate: "+m.Chain)
	}
	if m.Key != "" {
		out = append(out, "key: "+m.Key)
	}
	return strings.Join(out, "; ")
}

// Check reads a certificate chain and its key in PEM, and says what keeps them from being
// used at that time: the error is a [*MistakesError].
func Check(chain, key []byte, now time.Time) (tls.Certificate, error) {
	var wrong MistakesError
	certs, err := readChain(chain)
	if err == nil {
		err = judge(certs, now)
	}
	if err != nil {
		wrong.Chain = err.Error()
	}
	private, err := readKey(key)
	switch {
	case err != nil:
		wrong.Key = err.Error()
	case len(certs) > 0 && !belongs(private, certs[0]):
		wrong.Key, wrong.Chain = mismatch(private, certs, wrong.Chain)
	}
	if wrong != (MistakesError{}) {
		return tls.Certificate{}, &wrong
	}
	out := tls.Certificate{PrivateKey: private, Leaf: certs[0]}
	for _, c := range certs {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out, nil
}

// blocks are those of a PEM text.
func blocks(text []byte, what string) ([]*pem.Block, error) {
	if len(text) > MaxPEM {
		return nil, fmt.Errorf("is longer than %d kB: this is no %s", MaxPEM>>10, what)
	}
	var out []*pem.Block
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		out = append(out, b)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("holds no %s in PEM form (-----BEGIN …-----): choose the file in that form", what)
	}
	return out, nil
}

func readChain(text []byte) ([]*x509.Certificate, error) {
	all, err := blocks(text, "certificate")
	if err != nil {
		return nil, err
	}
	var out []*x509.Certificate
	for _, b := range all {
		if b.Type != "CERTIFICATE" {
			continue // a file may hold the key too
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(out)+1, err)
		}
		out = append(out, c)
	}
	if len(out) == 0 || len(out) > maxChain {
		return nil, fmt.Errorf("holds %d certificates: 1 to %d are possible", len(out), maxChain)
	}
	return out, nil
}

// judge says what is wrong with a chain: the node's own certificate is first, and each is
// signed by the next.
func judge(certs []*x509.Certificate, now time.Time) error {
	leaf := certs[0]
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Errorf("has expired on %s: get a new one", leaf.NotAfter.UTC().Format(time.DateOnly))
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("is valid from %s on: check the time of this node", leaf.NotBefore.UTC().Format(time.RFC3339))
	case len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return errors.New("is not for servers (extended key usage): ask for one for TLS web server authentication")
	}
	for i := range len(certs) - 1 {
		if err := certs[i].CheckSignatureFrom(certs[i+1]); err != nil {
			return fmt.Errorf("certificate %d (%s) is not signed by certificate %d (%s): put the node's own first, then the one that signed it, and so on",
				i+1, Name(certs[i]), i+2, Name(certs[i+1]))
		}
	}
	return strong(leaf.PublicKey)
}

// strong refuses keys that browsers refuse, or that cost too much.
func strong(public any) error {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < leastRSA || n > mostRSA {
			return fmt.Errorf("has an RSA key of %d bits: use %d to %d, or ECDSA", n, leastRSA, mostRSA)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return errors.New("has a key that is none of RSA, ECDSA and Ed25519: use one of these")
	}
	return nil
}

func readKey(text []byte) (crypto.Signer, error) {
	all, err := blocks(text, "private key")
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") })
	if i < 0 {
		return nil, errors.New("holds no private key: choose the file that was made together with the request for the certificate")
	}
	b := all[i]
	if b.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(b.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("is encrypted with a password: take it off first (openssl pkey -in key.pem -out plain.pem)")
	}
	key, err := parseKey(b)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("is a key that cannot sign (%T): use RSA, ECDSA or Ed25519", key)
	}
	return signer, nil
}

func parseKey(b *pem.Block) (any, error) {
	var key any
	var err error
	switch b.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(b.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return key, nil
}

// belongs compares public keys.
func belongs(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// mismatch tells a key of another certificate from one in the wrong place of the chain.
func mismatch(key crypto.Signer, certs []*x509.Certificate, chain string) (keyText, chainText string) {
	for i, c := range certs {
		if belongs(key, c) {
			return "", fmt.Sprintf("the key belongs to certificate %d (%s): put that one first, then the one that signed it, and so on", i+1, Name(c))
		}
	}
	return fmt.Sprintf("is not the key of this certificate (%s): choose the one that was made with it", Name(certs[0])), chain
}

// Name is what a certificate is called: by its common name, or else its first name.
func Name(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return c.Subject.CommonName
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case len(c.IPAddresses) > 0:
		return c.IPAddresses[0].String()
	}
	return c.Subject.String()
}

// KeyType is the kind and size of a certificate's key.
func KeyType(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA, " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return c.PublicKeyAlgorithm.String()
}

// Warnings are what does not keep a certificate from being used, and what people will
// stumble over: addresses of the node that it does not name, and a short life.
func Warnings(cert *x509.Certificate, addrs []netip.Addr, now time.Time) []string {
	var out, missing []string
	for _, a := range addrs {
		if !slices.ContainsFunc(cert.IPAddresses, net.IP(a.AsSlice()).Equal) {
			missing = append(missing, a.String())
		}
	}
	if len(missing) > 0 && len(missing) == len(addrs) {
		text := "it names no address of this node (" + strings.Join(missing, ", ") + ")"
		if len(cert.DNSNames) > 0 {
			text += ": open the WebUI by its name, " + strings.Join(cert.DNSNames, " or ")
		}
		out = append(out, text)
	}
	if left := cert.NotAfter.Sub(now); left < Soon {
		out = append(out, "it "+Expires(cert, now))
	}
	if !Vouched(cert) {
		out = append(out, "it is signed by itself: browsers go on warning of it, unless they were told to trust it")
	}
	return out
}

// Vouched reports whether somebody else has signed a certificate: browsers let nobody past
// their warning about another where they were told to insist (HSTS).
func Vouched(cert *x509.Certificate) bool { return !bytes.Equal(cert.RawIssuer, cert.RawSubject) }

// Soon and VerySoon are how long before the end of a certificate the node reminds of it.
const (
	Soon     = 30 * 24 * time.Hour
	VerySoon = 7 * 24 * time.Hour
)

// Expires tells when a certificate ends.
func Expires(cert *x509.Certificate, now time.Time) string {
	day := cert.NotAfter.UTC().Format("2006-01-02 15:04 UTC")
	days := int(cert.NotAfter.Sub(now) / (24 * time.Hour))
	switch {
	case !now.Before(cert.NotAfter):
		return "has expired on " + day
	case days == 1:
		return "expires in 1 day, on " + day
	}
	return fmt.Sprintf("expires in %d days, on %s", days, day)
}
