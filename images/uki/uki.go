// Package uki makes unified kernel images: one EFI program that holds the kernel, its
// command line and the whole initial RAM file system as sections of systemd's stub
// (uapi-group.org, Unified Kernel Image). Equal parts give equal bytes.
package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
)

// Section is one part, such as .linux.
type Section struct {
	Name string // at most 8 bytes
	Data []byte
}

// Offsets in a PE file (Microsoft PE Format).
const (
	offsetPE      = 0x3c // of the offset of the PE header
	sizeCOFF      = 24   // signature and COFF header
	sizeSection   = 40
	atSections    = 6  // in the PE header: number of sections
	atTime        = 8  // time stamp
	atSymbols     = 12 // place and number of symbols
	atOptional    = 20 // size of the optional header
	atAlign       = 32 // in the optional header: section alignment
	atFileAlign   = 36
	atImageSize   = 56
	atHeaderSize  = 60
	atChecksum    = 64
	dataReadable  = 0x40000040 // characteristics: initialised data, readable
	pageSize      = 0x1000     // sections begin at pages: the stub maps them so
	maxSectionLen = 8
)

// Build adds sections to a stub.
func Build(stub []byte, sections ...Section) ([]byte, error) {
	h, err := readHeader(stub)
	if err != nil {
		return nil, err
	}
	if room := h.headers - h.tableEnd(); room < len(sections)*sizeSection {
		return nil, fmt.Errorf("the stub has room for %d more sections, not %d", room/sizeSection, len(sections))
	}
	// What follows the stub's sections are symbols for debuggers. Firmware takes the digest
	// that a signature is over section by section, and wants nothing between them.
	out := bytes.Clone(stub[:h.end])
	put32(out, h.at+atSymbols, 0)
	put32(out, h.at+atSymbols+4, 0)
	for _, s := range sections {
		if out, err = h.add(out, s); err != nil {
			return nil, err
		}
	}
	put16(out, h.at+atSections, h.sections)
	put32(out, h.at+atTime, 0)
	put32(out, h.optional+atImageSize, align(h.nextVMA, h.align))
	put32(out, h.optional+atChecksum, 0)
	put32(out, h.optional+atChecksum, checksum(out))
	return out, nil
}

// header is what is known of the file while it grows.
type header struct {
	at, optional, table int
	sections, headers   int
	align, fileAlign    int
	nextVMA             int
	end                 int // of the last section in the file
}

func (h header) tableEnd() int { return h.table + h.sections*sizeSection }

func readHeader(stub []byte) (header, error) {
	f, err := pe.NewFile(bytes.NewReader(stub))
	if err != nil {
		return header{}, fmt.Errorf("the stub is no EFI program: %w", err)
	}
	if _, ok := f.OptionalHeader.(*pe.OptionalHeader64); !ok {
		return header{}, errors.New("the stub is no 64-bit EFI program")
	}
	h := header{at: int(binary.LittleEndian.Uint32(stub[offsetPE:])), sections: len(f.Sections)}
	h.optional = h.at + sizeCOFF
	h.table = h.optional + int(binary.LittleEndian.Uint16(stub[h.at+atOptional:]))
	h.align = max(pageSize, int(binary.LittleEndian.Uint32(stub[h.optional+atAlign:])))
	h.fileAlign = max(1, int(binary.LittleEndian.Uint32(stub[h.optional+atFileAlign:])))
	h.headers = int(binary.LittleEndian.Uint32(stub[h.optional+atHeaderSize:]))
	for _, s := range f.Sections {
		h.end = max(h.end, int(s.Offset)+int(s.Size))
		h.nextVMA = max(h.nextVMA, align(int(s.VirtualAddress+s.VirtualSize), h.align))
	}
	if h.end = max(h.end, h.headers); h.end > len(stub) {
		return header{}, errors.New("the stub's sections reach beyond its end")
	}
	if h.headers > len(stub) || h.tableEnd() > h.headers {
		return header{}, errors.New("the stub's headers reach beyond its end")
	}
	return h, nil
}

// add appends the data and writes the section's header.
func (h *header) add(out []byte, s Section) ([]byte, error) {
	if s.Name == "" || len(s.Name) > maxSectionLen {
		return nil, fmt.Errorf("%q is no name of a section", s.Name)
	}
	out = append(out, make([]byte, align(len(out), h.fileAlign)-len(out))...)
	row := make([]byte, sizeSection)
	copy(row, s.Name)
	put32(row, 8, len(s.Data))
	put32(row, 12, h.nextVMA)
	put32(row, 16, align(len(s.Data), h.fileAlign))
	put32(row, 20, len(out))
	put32(row, 36, dataReadable)
	copy(out[h.tableEnd():], row)
	h.sections++
	h.nextVMA = align(h.nextVMA+len(s.Data), h.align)
	out = append(out, s.Data...)
	return append(out, make([]byte, align(len(out), h.fileAlign)-len(out))...), nil
}

func align(n, to int) int { return (n + to - 1) / to * to }

func put16(b []byte, at, v int) { binary.LittleEndian.PutUint16(b[at:], uint16(v)) }
func put32(b []byte, at, v int) { binary.LittleEndian.PutUint32(b[at:], uint32(v)) }

// checksum is the one of PE files: the sum of all 16-bit words with the carry added, and
// the length.
func checksum(b []byte) int {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.LittleEndian.Uint16(b[i:]))
		sum = sum>>16 + sum&0xffff
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1])
		sum = sum>>16 + sum&0xffff
	}
	return int(sum) + len(b)
}
