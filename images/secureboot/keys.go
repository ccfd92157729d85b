// Package secureboot signs EFI programs with the owner's own keys, and makes what a firmware
// takes these keys by (UEFI specification 2.10, chapter 32). The keys are made on the
// machine that builds images and never leave it. Signatures hold no time and nothing by
// chance: equal keys and programs give equal bytes.
package secureboot

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

// Key is a key with its certificate.
type Key struct {
	private *rsa.PrivateKey
	cert    *x509.Certificate
}

// Keys are a firmware's: the platform key, the key exchange key, and the key of what boots.
type Keys struct{ Platform, Exchange, Image Key }

// LoadOrCreate reads the keys of a folder, and makes those that are not there.
func LoadOrCreate(dir string) (Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Keys{}, fmt.Errorf("make the folder of the keys for Secure Boot: %w", err)
	}
	var k Keys
	var errs []error
	for name, into := range map[string]*Key{"PK": &k.Platform, "KEK": &k.Exchange, "db": &k.Image} {
		var err error
		*into, err = loadOrCreate(filepath.Join(dir, name+".pem"), "vosbed "+name)
		errs = append(errs, err)
	}
	return k, errors.Join(errs...)
}

func loadOrCreate(path, name string) (Key, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return create(path, name)
	}
	if err != nil {
		return Key{}, fmt.Errorf("read a key for Secure Boot: %w", err)
	}
	k, err := parse(data)
	if err != nil {
		return Key{}, fmt.Errorf("%s holds no key with its certificate: %w", path, err)
	}
	return k, nil
}

// bits is the size of keys: firmware need not know larger ones.
const bits = 2048

// create makes a key. Firmware looks at no dates, so the certificate is for long.
func create(path, name string) (Key, error) {
	private, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		return Key{}, fmt.Errorf("make a key for Secure Boot: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return Key{}, fmt.Errorf("make a key for Secure Boot: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2056, 1, 1, 0, 0, 0, 0, time.UTC),
		BasicConstraintsValid: true, SignatureAlgorithm: x509.SHA256WithRSA,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return Key{}, fmt.Errorf("make a certificate for Secure Boot: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, fmt.Errorf("encode a key for Secure Boot: %w", err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := atomicfile.Write(path, text, 0o600); err != nil {
		return Key{}, err
	}
	return parse(text)
}

var errKey = errors.New("a private RSA key and a certificate are expected, both in PEM")

func parse(text []byte) (Key, error) {
	first, rest := pem.Decode(text)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil {
		return Key{}, errKey
	}
	secret, err := x509.ParsePKCS8PrivateKey(first.Bytes)
	if err != nil {
		return Key{}, err
	}
	cert, err := x509.ParseCertificate(second.Bytes)
	if err != nil {
		return Key{}, err
	}
	private, ok := secret.(*rsa.PrivateKey)
	if !ok || !private.PublicKey.Equal(cert.PublicKey) {
		return Key{}, errKey
	}
	return Key{private, cert}, nil
}
