package uefi

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/smallstep/pkcs7"
)

// Database is what a firmware starts programs by, or refuses them by.
type Database struct {
	Certificates []*x509.Certificate
	Digests      [][sha256.Size]byte
}

// NewDatabase takes what it knows of lists. Kinds that it does not know are left to the firmware.
func NewDatabase(lists []byte) (Database, error) {
	var db Database
	all, err := ParseLists(lists)
	if err != nil {
		return db, err
	}
	for _, s := range all {
		switch {
		case s.Kind == TypeX509():
			if cert, wrong := x509.ParseCertificate(s.Data); wrong == nil { // others are no trust, and no harm
				db.Certificates = append(db.Certificates, cert)
			}
		case s.Kind == TypeSHA256() && len(s.Data) == sha256.Size:
			db.Digests = append(db.Digests, [sha256.Size]byte(s.Data))
		}
	}
	return db, nil
}

// Errors of Verify.
var (
	ErrUnsigned = errors.New("it has no signature")
	ErrStranger = errors.New("none of its signatures is by a key that the firmware trusts")
	errDigest   = errors.New("its signature is another program's")
)

// Verify says why a firmware with this database would not start a program, nil if it would.
// Like a firmware it looks at no dates.
func (db Database) Verify(image []byte) error {
	sum, err := Digest(image)
	if err != nil {
		return err
	}
	_, table, _, err := signed(image)
	if err != nil {
		return err
	}
	if slices.Contains(db.Digests, sum) {
		return nil
	}
	signatures, err := signaturesIn(table)
	if err != nil {
		return err
	}
	if len(signatures) == 0 {
		return ErrUnsigned
	}
	var errs []error
	for _, der := range signatures {
		wrong := db.verify(der, sum)
		if wrong == nil {
			return nil
		}
		errs = append(errs, wrong)
	}
	return errors.Join(errs...)
}

// verify looks at one signature.
func (db Database) verify(der []byte, sum [sha256.Size]byte) error {
	p7, err := pkcs7.Parse(der)
	if err != nil {
		return fmt.Errorf("read its signature: %w", err)
	}
	of, err := signedDigest(p7.Content)
	if err != nil {
		return err
	}
	if !bytes.Equal(of, sum[:]) {
		return errDigest
	}
	trusted := x509.NewCertPool()
	for _, cert := range db.Certificates {
		trusted.AddCert(cert)
	}
	signer := p7.GetOnlySigner()
	if signer == nil {
		return fmt.Errorf("%w: it is not by one signer", ErrStranger)
	}
	if err = p7.Verify(); err != nil {
		return fmt.Errorf("its signature is wrong: %w", err)
	}
	if err = p7.VerifyWithChainAtTime(trusted, signer.NotBefore); err != nil {
		return fmt.Errorf("%w: it is signed by %q", ErrStranger, signer.Subject.CommonName)
	}
	return nil
}

// signedDigest is the digest in a SpcIndirectDataContent, without the head of its sequence.
func signedDigest(content []byte) ([]byte, error) {
	var kind asn1.RawValue
	rest, err := asn1.Unmarshal(content, &kind)
	if err != nil {
		return nil, fmt.Errorf("read its signature: %w", err)
	}
	var digest struct {
		Algorithm asn1.RawValue
		Digest    []byte
	}
	if _, err = asn1.Unmarshal(rest, &digest); err != nil {
		return nil, fmt.Errorf("read its signature: %w", err)
	}
	return digest.Digest, nil
}
