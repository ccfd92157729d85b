package formats

import (
	"encoding/binary"
	"errors"
	"os"
)

// The header of a VDI (VirtualBox, VDICore.h).
const (
	vdiMagicAt    = 0x40
	vdiMagic      = 0xbeda107f
	vdiImageAt    = 0x188 // UUID of the image
	vdiSnapshotAt = 0x198 // UUID of its last change
)

var errVDI = errors.New("this is no VDI")

// settleVDI names a VDI by its content. VirtualBox keeps disks apart by this name: two
// copies of one file are one disk to it.
func settleVDI(f *os.File) error {
	head, err := read(f, vdiMagicAt, 4)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(head) != vdiMagic {
		return errVDI
	}
	var none guid
	if err = write(f, map[int64][]byte{vdiImageAt: none[:], vdiSnapshotAt: none[:]}); err != nil {
		return err
	}
	sum, err := digest(f)
	if err != nil {
		return err
	}
	image, snapshot := name(sum, "image"), name(sum, "snapshot")
	return write(f, map[int64][]byte{vdiImageAt: image[:], vdiSnapshotAt: snapshot[:]})
}
