package uefi_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/internal/slots/testuki"
	"github.com/vosbed/vosbed/internal/testenv"
	"github.com/vosbed/vosbed/internal/uefi"
)

// signer is somebody who signs by Debian's sbsign, which is not ours.
type signer struct {
	dir  string
	cert []byte
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: t.Name()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	s := signer{t.TempDir(), der}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	must(t, os.WriteFile(s.at("key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	must(t, os.WriteFile(s.at("cert"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s signer) at(name string) string { return filepath.Join(s.dir, name) }

func (s signer) sign(t *testing.T, image []byte) []byte {
	t.Helper()
	must(t, os.WriteFile(s.at("in"), image, 0o600))
	argv := []string{"--key", s.at("key"), "--cert", s.at("cert"), "--output", s.at("out"), s.at("in")}
	if out, err := exec.CommandContext(t.Context(), testenv.RequireTool(t, "sbsign"), argv...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	signed, err := os.ReadFile(s.at("out"))
	must(t, err)
	return signed
}

// certificate is a list with the signer's certificate.
func (s signer) certificate() []byte { return uefi.List(uefi.TypeX509(), uefi.GUID{1}, s.cert) }

// errRead is told where a program cannot be read.
var errRead = errors.New("the archive ends too early")

// firmware is one with these variables.
func firmware(t *testing.T, on byte, db, dbx []byte) uefi.Firmware {
	t.Helper()
	f := uefi.Firmware{Dir: t.TempDir()}
	vars := filepath.Join(f.Dir, "efivars")
	must(t, os.Mkdir(vars, 0o700))
	const global, security = "8be4df61-93ca-11d2-aa0d-00e098032b8c", "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
	for name, value := range map[string][]byte{"SecureBoot-" + global: {on}, "db-" + security: db, "dbx-" + security: dbx} {
		if value != nil {
			must(t, os.WriteFile(filepath.Join(vars, name), append([]byte{6, 0, 0, 0}, value...), 0o600))
		}
	}
	return f
}

func TestAccepts(t *testing.T) {
	mine, other := newSigner(t), newSigner(t)
	plain := testuki.Make("kernel", "ram")
	signed, theirs := mine.sign(t, plain), other.sign(t, plain)
	changed := bytes.Replace(signed, []byte("kernel"), []byte("kennel"), 1)
	_, table, err := uefi.Split(signed)
	must(t, err)
	moved, err := uefi.Join(testuki.Make("other!", "ram"), table)
	must(t, err)
	bare, _, err := uefi.Split(plain)
	must(t, err)
	sum, err := uefi.Digest(bare)
	must(t, err)
	digest := uefi.List(uefi.TypeSHA256(), uefi.GUID{1}, sum[:])
	both := append(other.certificate(), mine.certificate()...)
	for name, tt := range map[string]struct {
		f     uefi.Firmware
		image []byte
		says  string // "" = accepted
	}{
		"mine":                       {firmware(t, 1, mine.certificate(), nil), signed, ""},
		"one key of two":             {firmware(t, 1, both, nil), signed, ""},
		"both signed":                {firmware(t, 1, mine.certificate(), nil), other.sign(t, signed), ""},
		"by its digest":              {firmware(t, 1, digest, nil), plain, ""},
		"off":                        {firmware(t, 0, nil, nil), plain, ""},
		"another's":                  {firmware(t, 1, mine.certificate(), nil), theirs, "none of its signatures is by a key"},
		"unsigned":                   {firmware(t, 1, mine.certificate(), nil), plain, "it has no signature"},
		"changed":                    {firmware(t, 1, mine.certificate(), nil), changed, "another program's"},
		"another's signature":        {firmware(t, 1, mine.certificate(), nil), moved, "another program's"},
		"no keys":                    {firmware(t, 1, nil, nil), signed, "none of its signatures is by a key"},
		"revoked by key":             {firmware(t, 1, both, mine.certificate()), signed, "it is revoked"},
		"revoked by digest":          {firmware(t, 1, both, digest), signed, "it is revoked"},
		"no program":                 {firmware(t, 1, both, nil), []byte("hello"), "no 64-bit EFI program"},
		"damaged archive":            {firmware(t, 1, both, nil), nil, errRead.Error()},
		"damaged database":           {firmware(t, 1, []byte("hello"), nil), signed, "damaged"},
		"a certificate that is none": {firmware(t, 1, uefi.List(uefi.TypeX509(), uefi.GUID{}, []byte("hello")), nil), signed, "none of its signatures is by a key"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.f.Accepts(func() ([]byte, error) {
				if tt.image == nil {
					return nil, errRead
				}
				return tt.image, nil
			})
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v, want %q", err, tt.says)
			}
		})
	}
}

// TestFirmwareOf: after a start by BIOS everything is accepted, unread; before the variables
// are there nothing is.
func TestFirmwareOf(t *testing.T) {
	if err := (uefi.Firmware{Dir: filepath.Join(t.TempDir(), "efi")}).Accepts(nil); err != nil {
		t.Errorf("BIOS: %v", err)
	}
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "efivars"), 0o700))
	if err := (uefi.Firmware{Dir: dir}).Accepts(nil); err == nil || !strings.Contains(err.Error(), "try again") {
		t.Errorf("too early: %v", err)
	}
	must(t, os.WriteFile(filepath.Join(dir, "efivars", "Boot0000-8be4df61-93ca-11d2-aa0d-00e098032b8c"), []byte("x"), 0o600))
	if err := (uefi.Firmware{Dir: dir}).Accepts(nil); err != nil {
		t.Errorf("a firmware without Secure Boot: %v", err)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(testuki.Make("kernel", "ram"))
	f.Fuzz(func(t *testing.T, image []byte) {
		plain, signatures, err := uefi.Split(image)
		if err != nil {
			return
		}
		whole, err := uefi.Join(plain, signatures)
		if err != nil {
			t.Fatal(err)
		}
		if again, table, err := uefi.Split(whole); len(signatures) > 0 && (err != nil || !bytes.Equal(again, plain) || !bytes.Equal(table, signatures)) {
			t.Errorf("taken apart and put together it is another: %v", err)
		}
	})
}

// FuzzVerify: whatever signature and database there is, nothing breaks, and a database
// without trust accepts nothing.
func FuzzVerify(f *testing.F) {
	f.Add(uefi.Table([]byte("signature")), uefi.List(uefi.TypeX509(), uefi.GUID{}, []byte("x")))
	f.Add([]byte{9, 0, 0, 0, 0, 2, 2, 0, 0x30}, uefi.List(uefi.TypeSHA256(), uefi.GUID{}, make([]byte, sha256.Size)))
	f.Fuzz(func(t *testing.T, table, lists []byte) {
		plain, _, err := uefi.Split(testuki.Make("kernel", "ram"))
		if err != nil {
			t.Fatal(err)
		}
		image, err := uefi.Join(plain, table)
		if err != nil {
			t.Fatal(err)
		}
		db, err := uefi.NewDatabase(lists)
		if err == nil && db.Verify(image) == nil {
			t.Error("accepted")
		}
	})
}

func TestLists(t *testing.T) {
	all := append(uefi.List(uefi.TypeX509(), uefi.GUID{1}, []byte("one")), uefi.List(uefi.TypeSHA256(), uefi.GUID{2}, []byte("two"))...)
	got, err := uefi.ParseLists(all)
	if err != nil || len(got) != 2 || string(got[0].Data) != "one" || got[1].Kind != uefi.TypeSHA256() {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := uefi.ParseLists(all[:len(all)-1]); err == nil {
		t.Error("half a list is one")
	}
	if text := uefi.SecurityDatabase().String(); text != "d719b2cb-3d3a-4596-a3bc-dad00e67656f" {
		t.Error(text)
	}
}
