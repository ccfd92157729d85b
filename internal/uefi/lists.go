package uefi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// GUID is an EFI GUID as it lies in memory.
type GUID [16]byte

// String is the way that people and efivarfs write it.
func (g GUID) String() string {
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(g[:]), binary.LittleEndian.Uint16(g[4:]), binary.LittleEndian.Uint16(g[6:]), g[8:10], g[10:])
}

// GlobalVariable is the owner of most variables (3.3).
func GlobalVariable() GUID {
	return GUID{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}
}

// SecurityDatabase is the owner of db and dbx (32.6.1).
func SecurityDatabase() GUID {
	return GUID{0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45, 0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f}
}

// TypeX509 is the type of a list of certificates (32.4.1).
func TypeX509() GUID {
	return GUID{0xa1, 0x59, 0xc0, 0xa5, 0xe4, 0x94, 0xa7, 0x4a, 0x87, 0xb5, 0xab, 0x15, 0x5c, 0x2b, 0xf0, 0x72}
}

// TypeSHA256 is the type of a list of digests of programs (32.4.1).
func TypeSHA256() GUID {
	return GUID{0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28}
}

// sizeList is the head of an EFI_SIGNATURE_LIST in bytes.
const sizeList = 28

// List is a signature list with one signature.
func List(kind, owner GUID, data []byte) []byte {
	out := slices.Clone(kind[:])
	out = binary.LittleEndian.AppendUint32(out, uint32(sizeList+len(owner)+len(data)))
	out = binary.LittleEndian.AppendUint32(out, 0)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(owner)+len(data)))
	return slices.Concat(out, owner[:], data)
}

// Signature is one of a list, whoever owns it.
type Signature struct {
	Kind GUID
	Data []byte
}

var errList = errors.New("a list of signatures is damaged")

// ParseLists reads the lists of a variable.
func ParseLists(data []byte) ([]Signature, error) {
	var out []Signature
	for len(data) > 0 {
		if len(data) < sizeList {
			return nil, errList
		}
		kind := GUID(data)
		list, head, one := int64(binary.LittleEndian.Uint32(data[16:])), int64(binary.LittleEndian.Uint32(data[20:])), int64(binary.LittleEndian.Uint32(data[24:]))
		if list > int64(len(data)) || one < int64(len(kind)) || sizeList+head > list || (list-sizeList-head)%one != 0 {
			return nil, errList
		}
		for each := range slices.Chunk(data[sizeList+head:list], int(one)) {
			out = append(out, Signature{kind, each[len(kind):]})
		}
		data = data[list:]
	}
	return out, nil
}
