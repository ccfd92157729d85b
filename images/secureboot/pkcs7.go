package secureboot

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// Object identifiers (RFC 2315, RFC 8017; Windows Authenticode Portable Executable Signature
// Format).
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidIndirectData  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidPEImageData   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
)

// contentInfo names a content, which is in it or not.
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,optional,tag:0"`
}

type signedData struct {
	Version      int
	Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
	Content      contentInfo
	Certificates asn1.RawValue // [0] IMPLICIT SET OF Certificate
	Signers      []signerInfo  `asn1:"set"`
}

type signerInfo struct {
	Version    int
	Issuer     issuerAndSerial
	Digest     pkix.AlgorithmIdentifier
	Attributes asn1.RawValue `asn1:"optional"` // [0] IMPLICIT SET OF Attribute
	Encryption pkix.AlgorithmIdentifier
	Signature  []byte
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []any `asn1:"set"`
}

func sha256Algorithm() pkix.AlgorithmIdentifier {
	return pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}
}

// signed makes SignedData of a content by one signer. Neither a time nor chance is in it:
// equal contents give equal bytes.
func (k Key) signed(content contentInfo, attributes []byte, digest [sha256.Size]byte) ([]byte, error) {
	signature, err := rsa.SignPKCS1v15(nil, k.private, crypto.SHA256, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign for Secure Boot: %w", err)
	}
	one := signerInfo{
		Version: 1, Issuer: issuerAndSerial{asn1.RawValue{FullBytes: k.cert.RawIssuer}, k.cert.SerialNumber}, Digest: sha256Algorithm(),
		Encryption: pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1.NullRawValue}, Signature: signature,
	}
	if attributes != nil {
		one.Attributes = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: attributes}
	}
	return marshal(signedData{
		Version: 1, Digests: []pkix.AlgorithmIdentifier{sha256Algorithm()}, Content: content,
		Certificates: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: k.cert.Raw},
		Signers:      []signerInfo{one},
	})
}

func marshal(v any) ([]byte, error) {
	der, err := asn1.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode a signature: %w", err)
	}
	return der, nil
}

// explicit is [0] EXPLICIT of something encoded.
func explicit(der []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: der}
}

// imageSignature signs the digest of an EFI program (Authenticode).
func (k Key) imageSignature(digest [sha256.Size]byte) ([]byte, error) {
	inner, err := marshal(struct {
		Data struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		Digest struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}
	}{
		Data: struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}{oidPEImageData, asn1.RawValue{FullBytes: []byte{0x30, 0x09, 0x03, 0x01, 0x00, 0xa0, 0x04, 0xa2, 0x02, 0x80, 0x00}}}, // no flags, no file name
		Digest: struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}{sha256Algorithm(), digest[:]},
	})
	if err != nil {
		return nil, err
	}
	var outer asn1.RawValue
	if _, err = asn1.Unmarshal(inner, &outer); err != nil {
		return nil, fmt.Errorf("encode a signature: %w", err)
	}
	of := sha256.Sum256(outer.Bytes) // without tag and length, so says the format
	attributes, err := marshal(struct {
		All []attribute `asn1:"set"`
	}{[]attribute{{oidContentType, []any{oidIndirectData}}, {oidMessageDigest, []any{of[:]}}}})
	if err != nil {
		return nil, err
	}
	if _, err = asn1.Unmarshal(attributes, &outer); err != nil { // the SET alone
		return nil, fmt.Errorf("encode a signature: %w", err)
	}
	set := outer.Bytes
	if _, err = asn1.Unmarshal(set, &outer); err != nil {
		return nil, fmt.Errorf("encode a signature: %w", err)
	}
	der, err := k.signed(contentInfo{oidIndirectData, explicit(inner)}, outer.Bytes, sha256.Sum256(set))
	if err != nil {
		return nil, err
	}
	return marshal(contentInfo{oidSignedData, explicit(der)})
}

// detached signs data that is elsewhere.
func (k Key) detached(data []byte) ([]byte, error) {
	return k.signed(contentInfo{Type: oidData}, nil, sha256.Sum256(data))
}
