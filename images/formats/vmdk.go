package formats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
)

// The header of a sparse extent (VMware, Virtual Disk Format 5.0).
const (
	vmdkMagic        = "KDMV"
	vmdkDescriptorAt = 28 // offset and length of the descriptor, 8 bytes each, in sectors
	vmdkHeader       = 44
	sector           = 512
	// maxDescriptor bounds the descriptor, in sectors: qemu-img makes 20.
	maxDescriptor = 128
)

// vmdkExtent is the name of the extent: a stream names only itself.
const vmdkExtent = "vosbed.vmdk"

var errVMDK = errors.New("this is no VMDK with a descriptor of its own")

// settleVMDK replaces the content identity (CID) and the file's name in the descriptor.
func settleVMDK(f *os.File) error {
	at, text, err := vmdkDescriptor(f)
	if err != nil {
		return err
	}
	settled, err := describe(text, "00000000")
	if err != nil {
		return err
	}
	if err = write(f, map[int64][]byte{at: settled}); err != nil {
		return err
	}
	sum, err := digest(f)
	if err != nil {
		return err
	}
	// A first digit below 8 keeps off the two values that mean "none".
	cid := fmt.Sprintf("%08x", binary.BigEndian.Uint32(sum[:])&0x7fffffff)
	if settled, err = describe(text, cid); err != nil {
		return err
	}
	return write(f, map[int64][]byte{at: settled})
}

// vmdkDescriptor finds the descriptor.
func vmdkDescriptor(f *os.File) (int64, []byte, error) {
	head, err := read(f, 0, vmdkHeader)
	if err != nil {
		return 0, nil, err
	}
	at := binary.LittleEndian.Uint64(head[vmdkDescriptorAt:])
	n := binary.LittleEndian.Uint64(head[vmdkDescriptorAt+8:])
	if string(head[:len(vmdkMagic)]) != vmdkMagic || at == 0 || at > maxDescriptor || n == 0 || n > maxDescriptor {
		return 0, nil, errVMDK
	}
	text, err := read(f, int64(at)*sector, int(n)*sector)
	return int64(at) * sector, text, err
}

// describe is a descriptor with another CID and extent's name, of the same length. It ends
// with the first NUL: behind it qemu-img leaves the end of a longer one, when it replaced
// the CID by one with fewer digits.
func describe(descriptor []byte, cid string) ([]byte, error) {
	var out bytes.Buffer
	text, _, _ := bytes.Cut(descriptor, []byte{0})
	for line := range strings.Lines(string(text)) {
		extent, _, isExtent := strings.Cut(line, `"`)
		switch {
		case strings.HasPrefix(line, "CID="):
			line = "CID=" + cid + "\n"
		case isExtent && strings.HasPrefix(extent, "RW "):
			line = extent + `"` + vmdkExtent + "\"\n"
		}
		out.WriteString(line)
	}
	if out.Len() > len(descriptor) {
		return nil, errVMDK
	}
	return append(out.Bytes(), make([]byte, len(descriptor)-out.Len())...), nil
}
