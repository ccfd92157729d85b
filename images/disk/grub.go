package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// Places in GRUB's images that grub-install would fill in (grub-core/boot/i386/pc, and
// include/grub/offsets.h).
const (
	bootKernelSector = 0x5c  // in boot.img: where core.img begins, 64 bits
	bootDriveCheck   = 0x66  // a jump that trusts the BIOS's drive number; two NOPs here
	coreBlocklist    = 0x1f4 // in core.img: where its second sector is, 64 bits
	nop              = 0x90
)

// BootCode checks the two images of GRUB for BIOS machines.
func BootCode(boot, core []byte) (code, loader []byte, err error) {
	if len(boot) != Sector || boot[510] != 0x55 || boot[511] != 0xaa {
		return nil, nil, errors.New("GRUB's boot.img is no boot sector")
	}
	if len(core) < 2*Sector {
		return nil, nil, errors.New("GRUB's core.img is too short")
	}
	return boot[:440], core, nil
}

func patchBoot(sector []byte, core int64) {
	binary.LittleEndian.PutUint64(sector[bootKernelSector:], uint64(core))
	sector[bootDriveCheck], sector[bootDriveCheck+1] = nop, nop
}

// embed writes the boot loader to its partition, which begins at that byte.
func (d Disk) embed(f *os.File, at int64) error {
	core := bytes.Clone(d.Core)
	binary.LittleEndian.PutUint64(core[coreBlocklist:], uint64(at/Sector+1))
	if _, err := f.WriteAt(core, at); err != nil {
		return fmt.Errorf("write the boot loader: %w", err)
	}
	return nil
}
