// Package testuki makes small unified kernel images for tests: a PE file with the sections
// that a boot loader looks for, and nothing that could be run.
package testuki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
)

const fileAlign = 512

// Make returns an image with that kernel and RAM disk.
func Make(kernel, ram string) []byte {
	parts := []struct{ name, data string }{{".cmdline", "console=ttyS0"}, {".linux", kernel}, {".initrd", ram}}
	var b bytes.Buffer
	dos := make([]byte, 64)
	copy(dos, "MZ")
	dos[0x3c] = 64
	b.Write(dos)
	b.WriteString("PE\x00\x00")
	put(&b, pe.FileHeader{Machine: pe.IMAGE_FILE_MACHINE_AMD64, NumberOfSections: uint16(len(parts)), SizeOfOptionalHeader: 240})
	put(&b, pe.OptionalHeader64{Magic: 0x20b, FileAlignment: fileAlign, SizeOfHeaders: 2 * fileAlign, NumberOfRvaAndSizes: 16})
	at := fileAlign * 2
	for i, p := range parts {
		h := pe.SectionHeader32{VirtualSize: uint32(len(p.data)), VirtualAddress: uint32(0x1000 * (i + 1)), SizeOfRawData: uint32(padded(p.data)), PointerToRawData: uint32(at)}
		copy(h.Name[:], p.name)
		put(&b, h)
		at += padded(p.data)
	}
	b.Write(make([]byte, fileAlign*2-b.Len()))
	for _, p := range parts {
		b.WriteString(p.data)
		b.Write(make([]byte, padded(p.data)-len(p.data)))
	}
	return b.Bytes()
}

func padded(s string) int { return (len(s) + fileAlign - 1) / fileAlign * fileAlign }

// put writes a header; a buffer takes everything.
func put(b *bytes.Buffer, v any) { _ = binary.Write(b, binary.LittleEndian, v) }
