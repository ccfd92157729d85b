package uefi

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Places in a PE file (Microsoft PE Format).
const (
	offsetPE         = 0x3c // of the offset of the PE header
	sizeCOFF         = 24   // signature and COFF header
	magic64          = 0x20b
	atChecksum       = 64       // in the optional header
	atCertificates   = 112 + 32 // in it, of 64 bits: the entry of the attribute certificates
	sizeEntry        = 8
	certificateAlign = 8
	sizeCertificate  = 8      // of WIN_CERTIFICATE's head
	certRevision     = 0x0200 // WIN_CERT_REVISION_2_0
	certPKCS7        = 0x0002 // WIN_CERT_TYPE_PKCS_SIGNED_DATA
)

var errNoImage = errors.New("this is no 64-bit EFI program")

// optional finds the optional header.
func optional(image []byte) (int, error) {
	if len(image) < offsetPE+4 {
		return 0, errNoImage
	}
	at := int64(binary.LittleEndian.Uint32(image[offsetPE:])) + sizeCOFF
	if at+atCertificates+sizeEntry > int64(len(image)) || binary.LittleEndian.Uint16(image[at:]) != magic64 {
		return 0, errNoImage
	}
	return int(at), nil
}

// Split takes the signatures off an EFI program: what is left is what was signed, padded,
// without a checksum.
func Split(image []byte) (plain, signatures []byte, err error) {
	body, signatures, opt, err := signed(image)
	if err != nil {
		return nil, nil, err
	}
	plain = append(bytes.Clone(body), padding(body)...)
	clear(plain[opt+atChecksum:][:4])
	clear(plain[opt+atCertificates:][:sizeEntry])
	return plain, bytes.Clone(signatures), nil
}

// Join puts signatures on what Split left.
func Join(plain, signatures []byte) ([]byte, error) {
	opt, err := optional(plain)
	if err != nil {
		return nil, err
	}
	out := append(bytes.Clone(plain), signatures...)
	binary.LittleEndian.PutUint32(out[opt+atCertificates:], uint32(len(plain)))
	binary.LittleEndian.PutUint32(out[opt+atCertificates+4:], uint32(len(signatures)))
	return out, nil
}

// errGap says that firmware would take another digest.
var errGap = errors.New("the EFI program has bytes that belong to none of its sections: firmware would not accept a signature")

// Gapless makes sure that the sections follow each other to the end: a firmware takes the
// digest section by section.
func Gapless(image []byte) error {
	f, err := pe.NewFile(bytes.NewReader(image))
	if err != nil {
		return errors.Join(errNoImage, err)
	}
	head, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return errNoImage
	}
	sections := slices.Clone(f.Sections)
	slices.SortFunc(sections, func(a, b *pe.Section) int { return cmp.Compare(a.Offset, b.Offset) })
	at := head.SizeOfHeaders
	for _, s := range sections {
		if s.Size == 0 {
			continue
		}
		if s.Offset != at {
			return fmt.Errorf("%w: before %s", errGap, s.Name)
		}
		at += s.Size
	}
	return nil
}

// signed finds what of an EFI program is signed, and its signatures; both are parts of it.
func signed(image []byte) (body, signatures []byte, opt int, err error) {
	opt, err = optional(image)
	if err != nil {
		return nil, nil, 0, err
	}
	entry := image[opt+atCertificates:]
	at, size := int64(binary.LittleEndian.Uint32(entry)), int64(binary.LittleEndian.Uint32(entry[4:]))
	if at == 0 {
		return image, nil, opt, nil
	}
	if at < int64(opt+atCertificates+sizeEntry) || at+size != int64(len(image)) {
		return nil, nil, 0, fmt.Errorf("%w: its signatures are not at its end", errNoImage)
	}
	return image[:at], image[at:], opt, nil
}

func padding(body []byte) []byte {
	return make([]byte, (certificateAlign-len(body)%certificateAlign)%certificateAlign)
}

// Digest is Authenticode's: all but the checksum, the entry of the signatures, and these.
func Digest(image []byte) ([sha256.Size]byte, error) {
	body, _, opt, err := signed(image)
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	h := sha256.New()
	for _, part := range [][]byte{body[:opt+atChecksum], body[opt+atChecksum+4 : opt+atCertificates], body[opt+atCertificates+sizeEntry:], padding(body)} {
		_, _ = h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// Table makes a table of signatures, as Join takes it, of one in PKCS #7.
func Table(signature []byte) []byte {
	padded := (len(signature) + certificateAlign - 1) / certificateAlign * certificateAlign
	table := binary.LittleEndian.AppendUint32(nil, uint32(sizeCertificate+len(signature)))
	table = binary.LittleEndian.AppendUint16(table, certRevision)
	table = binary.LittleEndian.AppendUint16(table, certPKCS7)
	return append(append(table, signature...), make([]byte, padded-len(signature))...)
}

// signaturesIn is the inverse of Table, of any number; others than PKCS #7 are left out.
func signaturesIn(table []byte) ([][]byte, error) {
	var out [][]byte
	for len(table) > 0 {
		if len(table) < sizeCertificate {
			return nil, errTable
		}
		size := int64(binary.LittleEndian.Uint32(table))
		if size < sizeCertificate || size > int64(len(table)) {
			return nil, errTable
		}
		if binary.LittleEndian.Uint16(table[6:]) == certPKCS7 {
			out = append(out, table[sizeCertificate:size])
		}
		table = table[min(int64(len(table)), (size+certificateAlign-1)/certificateAlign*certificateAlign):]
	}
	return out, nil
}

var errTable = errors.New("the table of signatures is damaged")
