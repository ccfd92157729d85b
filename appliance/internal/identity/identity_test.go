package identity

import (
	"crypto"
	"crypto/dsa" //nolint:staticcheck // a key that is refused
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// authority signs what is asked of it.
type authority struct {
	t    testing.TB
	key  crypto.Signer
	cert *x509.Certificate
}

func key(tb testing.TB) crypto.Signer {
	tb.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

// sign issues a certificate; a nil authority lets it sign itself.
func (a *authority) sign(tb testing.TB, name string, k crypto.Signer, change func(*x509.Certificate)) *authority {
	tb.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(90 * 24 * time.Hour), DNSNames: []string{name},
		BasicConstraintsValid: true, IsCA: strings.HasPrefix(name, "CA"),
	}
	if change != nil {
		change(tmpl)
	}
	parent, signer := tmpl, k
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, k.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return &authority{tb, k, cert}
}

func chain(list ...*authority) []byte {
	var out []byte
	for _, a := range list {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	return out
}

func keyText(tb testing.TB, k crypto.Signer) []byte {
	tb.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func rsaKey(t *testing.T, bits int) crypto.Signer {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestCheck(t *testing.T) {
	var nobody *authority
	root := nobody.sign(t, "CA root", key(t), nil)
	middle := root.sign(t, "CA middle", key(t), nil)
	good := middle.sign(t, "lb1.example", key(t), nil)
	weak := middle.sign(t, "weak", rsaKey(t, 1024), nil)
	solid := middle.sign(t, "strong", rsaKey(t, 2048), nil)
	_, edwards, _ := ed25519.GenerateKey(rand.Reader)
	ed := middle.sign(t, "ed", edwards, nil)
	old := middle.sign(t, "old", key(t), func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) })
	future := middle.sign(t, "future", key(t), func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Hour) })
	client := middle.sign(t, "client", key(t), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	block := func(kind, text string) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(text)}) }
	for name, tt := range map[string]struct {
		chain, key            []byte
		wrongChain, wrongKeys string // parts of the messages
	}{
		"whole chain":         {chain(good, middle, root), keyText(t, good.key), "", ""},
		"alone":               {chain(good), keyText(t, good.key), "", ""},
		"RSA":                 {chain(solid, middle), keyText(t, solid.key), "", ""},
		"Ed25519":             {chain(ed), keyText(t, ed.key), "", ""},
		"one file with all":   {append(keyText(t, good.key), chain(good, middle)...), append(chain(good), keyText(t, good.key)...), "", ""},
		"another's key":       {chain(good, middle), keyText(t, ed.key), "", "not the key of this certificate (lb1.example)"},
		"leaf is not first":   {chain(middle, good), keyText(t, good.key), "the key belongs to certificate 2 (lb1.example)", ""},
		"a link is missing":   {chain(good, root), keyText(t, good.key), "certificate 1 (lb1.example) is not signed by certificate 2 (CA root)", ""},
		"expired":             {chain(old, middle), keyText(t, old.key), "expired on 2026-11-27", ""},
		"not yet":             {chain(future), keyText(t, future.key), "check the time", ""},
		"not for servers":     {chain(client), keyText(t, client.key), "not for servers", ""},
		"weak RSA":            {chain(weak), keyText(t, weak.key), "1024 bits", ""},
		"encrypted":           {chain(good), block("ENCRYPTED PRIVATE KEY", "x"), "", "encrypted with a password"},
		"encrypted, old form": {chain(good), []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"), "", "encrypted with a password"},
		"swapped":             {keyText(t, good.key), chain(good), "holds 0 certificates", "holds no private key"},
		"no PEM":              {[]byte("MZ"), nil, "no certificate in PEM form", "no private key in PEM form"},
		"too long":            {make([]byte, MaxPEM+1), make([]byte, MaxPEM+1), "longer than 64 kB", "longer than 64 kB"},
		"damaged":             {block("CERTIFICATE", "x"), block("EC PRIVATE KEY", "x"), "certificate 1 cannot be read", "cannot be read"},
		"too many":            {chain(good, good, good, good, good, good, good, good, good, good, good), keyText(t, good.key), "holds 11 certificates", ""},
	} {
		cert, err := Check(tt.chain, tt.key, noon)
		wrong, _ := errors.AsType[*MistakesError](err)
		if wrong == nil {
			wrong = &MistakesError{}
		}
		if err == nil != (tt.wrongChain+tt.wrongKeys == "") || !strings.Contains(wrong.Chain, tt.wrongChain) || !strings.Contains(wrong.Key, tt.wrongKeys) ||
			(tt.wrongChain == "") != (wrong.Chain == "") || (tt.wrongKeys == "") != (wrong.Key == "") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (cert.Leaf == nil || len(cert.Certificate) == 0) {
			t.Errorf("%s: no certificate", name)
		}
	}
	if strong(&dsa.PublicKey{}) == nil {
		t.Error("a DSA key was accepted")
	}
}

func TestWarnings(t *testing.T) {
	var nobody *authority
	root := nobody.sign(t, "CA root", key(t), nil)
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	for name, tt := range map[string]struct {
		change func(*x509.Certificate)
		by     *authority
		want   []string
	}{
		"by name only": {nil, root, []string{"names no address of this node (192.0.2.1, 2001:db8::1): open the WebUI by its name, x"}},
		"one address":  {func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("2001:db8::1")} }, root, nil},
		"soon at end": {func(c *x509.Certificate) {
			c.IPAddresses, c.NotAfter = []net.IP{net.ParseIP("192.0.2.1")}, noon.Add(25*time.Hour)
		}, root, []string{"it expires in 1 day, on 2026-11-28 13:00 UTC"}},
		"signs itself": {func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.ParseIP("192.0.2.1")} }, nil, []string{"signed by itself"}},
	} {
		got := Warnings(tt.by.sign(t, "x", key(t), tt.change).cert, addrs, noon)
		if len(got) != len(tt.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], tt.want[i]) {
				t.Errorf("%s: %q, want %q", name, got, tt.want)
			}
		}
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	var nobody *authority
	mine := nobody.sign(t, "lb1", key(t), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Hour) })
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Certificate(); ok {
		t.Error("a certificate out of nowhere")
	}
	if err = s.Set(chain(mine), []byte("x"), noon); err == nil {
		t.Error("nonsense was kept")
	}
	if err = s.Set(chain(mine), keyText(t, mine.key), noon); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, fileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := again.Certificate(); !ok || !c.Leaf.Equal(mine.cert) {
		t.Error("it did not survive")
	}
	if err = again.Reset(); err != nil {
		t.Fatal(err)
	}
	if err = again.Reset(); err != nil {
		t.Error("twice:", err)
	}
	if _, ok := again.Certificate(); ok {
		t.Error("it is still there")
	}
	if err = os.WriteFile(filepath.Join(dir, fileName), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err == nil || s == nil || !strings.Contains(err.Error(), "upload it again") {
		t.Errorf("a damaged file: %v", err)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte(""), []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, chain, key []byte) {
		cert, err := Check(chain, key, noon)
		if _, told := errors.AsType[*MistakesError](err); err != nil && !told {
			t.Errorf("an error that no form can show: %v", err)
		}
		if err == nil && cert.PrivateKey == nil {
			t.Error("no key")
		}
	})
}
