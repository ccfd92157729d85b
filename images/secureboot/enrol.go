package secureboot

import (
	"encoding/binary"
	"slices"
	"unicode/utf16"
)

// guid is an EFI GUID as it lies in memory.
type guid [16]byte

// GUIDs of the UEFI specification (2.10: 3.3, 32.4, 32.6), and ours as the owner of keys.
func globalVariable() guid {
	return guid{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}
}

func securityDatabase() guid {
	return guid{0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f}
}

func typeX509() guid {
	return guid{0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72}
}

func typePKCS7() guid {
	return guid{0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7}
}

func owner() guid {
	return guid{0x0a, 0x2f, 0x1d, 0x6e, 0xf5, 0x56, 0x52, 0x4c, 0x8b, 0x6b, 0x76, 0xf5, 0xb0, 0xd5, 0xa0, 0x06}
}

// attributes of the variables: kept, seen by boot loaders and by systems, replaced by whoever
// signs with a time.
const attributes = 0x27

// Sizes in bytes, and the kind of certificate that a signed variable begins with.
const (
	sizeList     = 28 // head of EFI_SIGNATURE_LIST
	sizeGUIDCert = 24 // head of WIN_CERTIFICATE_UEFI_GUID
	certGUID     = 0x0ef1
	revisionGUID = 0x0200
	signedYear   = 2026 // the year that every variable says it was signed in
)

// list is a signature list with one certificate.
func list(der []byte) []byte {
	t, o := typeX509(), owner()
	out := slices.Clone(t[:])
	out = binary.LittleEndian.AppendUint32(out, uint32(sizeList+len(o)+len(der)))
	out = binary.LittleEndian.AppendUint32(out, 0)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(o)+len(der)))
	return slices.Concat(out, o[:], der)
}

// moment is the EFI_TIME of every variable: nobody's clock is in them.
func moment() []byte {
	t := make([]byte, 16)
	binary.LittleEndian.PutUint16(t, signedYear)
	t[2], t[3] = 1, 1
	return t
}

// variable is a signed variable, as a firmware or a boot loader writes it
// (EFI_VARIABLE_AUTHENTICATION_2).
func (k Key) variable(name string, vendor guid, data []byte) ([]byte, error) {
	var text []byte
	for _, c := range utf16.Encode([]rune(name)) {
		text = binary.LittleEndian.AppendUint16(text, c)
	}
	signed := slices.Concat(text, vendor[:], binary.LittleEndian.AppendUint32(nil, attributes), moment(), data)
	signature, err := k.detached(signed)
	if err != nil {
		return nil, err
	}
	kind := typePKCS7()
	head := binary.LittleEndian.AppendUint32(nil, uint32(sizeGUIDCert+len(signature)))
	head = binary.LittleEndian.AppendUint16(head, revisionGUID)
	head = binary.LittleEndian.AppendUint16(head, certGUID)
	return slices.Concat(moment(), head, kind[:], signature, data), nil
}

// Enrolment are the files that a firmware takes the keys by: .cer for a firmware's own menu,
// .esl and .auth for tools and for systemd-boot.
func (k Keys) Enrolment() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, one := range []struct {
		name   string
		vendor guid
		key    Key
		by     Key
	}{{"PK", globalVariable(), k.Platform, k.Platform}, {"KEK", globalVariable(), k.Exchange, k.Platform}, {"db", securityDatabase(), k.Image, k.Exchange}} {
		esl := list(one.key.cert.Raw)
		auth, err := one.by.variable(one.name, one.vendor, esl)
		if err != nil {
			return nil, err
		}
		out[one.name+".cer"], out[one.name+".esl"], out[one.name+".auth"] = one.key.cert.Raw, esl, auth
	}
	return out, nil
}
