package formats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
)

// Places in a VHDX (MS-VHDX 2.2 to 2.6).
const (
	vhdxMagic      = "vhdxfile"
	vhdxHeaderSize = 4 << 10
	vhdxRegionsAt  = 192 << 10
	vhdxTableSize  = 64 << 10
	vhdxEntry      = 32 // bytes of an entry of either table
	vhdxEntriesAt  = 32 // of the metadata table
	vhdxRegionsOff = 16 // of the region table
	// maxVHDXLog bounds the log in bytes: qemu-img makes 1 MiB.
	maxVHDXLog = 16 << 20
)

// Fields of a header.
const (
	vhdxChecksumAt  = 4
	vhdxSequenceAt  = 8
	vhdxFileGUIDAt  = 16
	vhdxDataGUIDAt  = 32
	vhdxLogGUIDAt   = 48
	vhdxLogLengthAt = 68
	vhdxLogAt       = 72
)

var errVHDX = errors.New("this is no VHDX")

func vhdxHeaders() [2]int64 { return [2]int64{64 << 10, 128 << 10} }

// vhdxMetadata names the metadata region, vhdxDisk the identity of the virtual disk in it.
func vhdxMetadata() guid {
	return guid{0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e}
}

func vhdxDisk() guid {
	return guid{0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46}
}

// settleVHDX empties the log, whose entries are all in their places once qemu-img has
// ended, and names the file, its data and its disk by the content.
func settleVHDX(f *os.File) error {
	magic, err := read(f, 0, len(vhdxMagic))
	if err != nil {
		return err
	}
	if string(magic) != vhdxMagic {
		return errVHDX
	}
	diskAt, err := vhdxDiskAt(f)
	if err != nil {
		return err
	}
	var none guid
	if err = vhdxName(f, diskAt, none, none, none); err != nil {
		return err
	}
	sum, err := digest(f)
	if err != nil {
		return err
	}
	return vhdxName(f, diskAt, name(sum, "file"), name(sum, "data"), name(sum, "disk"))
}

// vhdxName writes the three identities, and an empty log.
func vhdxName(f *os.File, diskAt int64, file, data, disk guid) error {
	pieces := map[int64][]byte{diskAt: disk[:]}
	for i, at := range vhdxHeaders() {
		h, err := read(f, at, vhdxHeaderSize)
		if err != nil {
			return err
		}
		length, logAt := binary.LittleEndian.Uint32(h[vhdxLogLengthAt:]), binary.LittleEndian.Uint64(h[vhdxLogAt:])
		if length > maxVHDXLog || logAt < vhdxRegionsAt || logAt > 1<<40 {
			return errVHDX
		}
		pieces[int64(logAt)] = make([]byte, length)
		binary.LittleEndian.PutUint64(h[vhdxSequenceAt:], uint64(i)+1) // the second is the present one
		copy(h[vhdxFileGUIDAt:], file[:])
		copy(h[vhdxDataGUIDAt:], data[:])
		clear(h[vhdxLogGUIDAt : vhdxLogGUIDAt+16]) // no identity: the log is empty
		clear(h[vhdxChecksumAt:vhdxSequenceAt])
		binary.LittleEndian.PutUint32(h[vhdxChecksumAt:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
		pieces[at] = h
	}
	return write(f, pieces)
}

// vhdxDiskAt is where the identity of the virtual disk lies.
func vhdxDiskAt(f *os.File) (int64, error) {
	regions, err := read(f, vhdxRegionsAt, vhdxTableSize)
	if err != nil {
		return 0, err
	}
	region := find(regions[vhdxRegionsOff:], vhdxMetadata())
	if region == nil {
		return 0, errVHDX
	}
	at := binary.LittleEndian.Uint64(region)
	if at > 1<<40 {
		return 0, errVHDX
	}
	table, err := read(f, int64(at), vhdxTableSize)
	if err != nil {
		return 0, err
	}
	item := find(table[vhdxEntriesAt:], vhdxDisk())
	if item == nil {
		return 0, errVHDX
	}
	return int64(at) + int64(binary.LittleEndian.Uint32(item)), nil
}

// find returns what follows the identity in the entry that begins with it.
func find(table []byte, g guid) []byte {
	for len(table) >= vhdxEntry {
		if bytes.Equal(table[:len(g)], g[:]) {
			return table[len(g):vhdxEntry]
		}
		table = table[vhdxEntry:]
	}
	return nil
}
