package secureboot

import (
	"encoding/binary"
	"slices"
	"unicode/utf16"

	"github.com/vosbed/vosbed/internal/uefi"
)

// typePKCS7 is the GUID of a certificate in PKCS #7 (UEFI specification 2.10, 32.2.4).
func typePKCS7() uefi.GUID {
	return uefi.GUID{0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7}
}

// owner is ours, as the owner of keys.
func owner() uefi.GUID {
	return uefi.GUID{0x0a, 0x2f, 0x1d, 0x6e, 0xf5, 0x56, 0x52, 0x4c, 0x8b, 0x6b, 0x76, 0xf5, 0xb0, 0xd5, 0xa0, 0x06}
}

// attributes of the variables: kept, seen by boot loaders and by systems, replaced by whoever
// signs with a time.
const attributes = 0x27

// Sizes in bytes, and the kind of certificate that a signed variable begins with.
const (
	sizeGUIDCert = 24 // head of WIN_CERTIFICATE_UEFI_GUID
	certGUID     = 0x0ef1
	revisionGUID = 0x0200
	signedYear   = 2026 // the year that every variable says it was signed in
)

// moment is the EFI_TIME of every variable: nobody's clock is in them.
func moment() []byte {
	t := make([]byte, 16)
	binary.LittleEndian.PutUint16(t, signedYear)
	t[2], t[3] = 1, 1
	return t
}

// variable is a signed variable, as a firmware or a boot loader writes it
// (EFI_VARIABLE_AUTHENTICATION_2).
func (k Key) variable(name string, vendor uefi.GUID, data []byte) ([]byte, error) {
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
		vendor uefi.GUID
		key    Key
		by     Key
	}{{"PK", uefi.GlobalVariable(), k.Platform, k.Platform}, {"KEK", uefi.GlobalVariable(), k.Exchange, k.Platform}, {"db", uefi.SecurityDatabase(), k.Image, k.Exchange}} {
		esl := uefi.List(uefi.TypeX509(), owner(), one.key.cert.Raw)
		auth, err := one.by.variable(one.name, one.vendor, esl)
		if err != nil {
			return nil, err
		}
		out[one.name+".cer"], out[one.name+".esl"], out[one.name+".auth"] = one.key.cert.Raw, esl, auth
	}
	return out, nil
}
