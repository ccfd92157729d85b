package secureboot

import "github.com/vosbed/vosbed/internal/uefi"

// Sign signs an EFI program; signatures that it had are gone.
func (k Key) Sign(image []byte) ([]byte, error) {
	plain, _, err := uefi.Split(image)
	if err != nil {
		return nil, err
	}
	if err = uefi.Gapless(plain); err != nil {
		return nil, err
	}
	sum, err := uefi.Digest(plain)
	if err != nil {
		return nil, err
	}
	signature, err := k.imageSignature(sum)
	if err != nil {
		return nil, err
	}
	return uefi.Join(plain, uefi.Table(signature))
}
