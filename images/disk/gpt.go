// Package disk lays out the appliance's disk: partitions in a GPT that is the same every
// time, the BIOS boot code in front of it, and a FAT file system for the firmware. Nothing
// here needs privileges, loop devices or mounts.
package disk

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"unicode/utf16"
)

// Sector is the size of a sector in bytes.
const Sector = 512

// Types of partitions.
const (
	TypeBIOS  = "21686148-6449-6E6F-744E-656564454649"
	TypeESP   = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	TypeLinux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
)

// Partition is one of a disk. They lie one after the other from the first mebibyte on.
type Partition struct {
	Name, Type, GUID string
	Size             int64 // bytes, a multiple of 1 MiB
	// Image is the file that is copied into it, "" = it stays empty.
	Image string
}

// Disk is what to lay out.
type Disk struct {
	GUID       string
	Size       int64 // bytes
	Partitions []Partition
	// Boot is the BIOS boot sector's code, at most 440 bytes, and Core the boot loader
	// that it starts, which is put into the first partition of TypeBIOS.
	Boot, Core []byte
}

const (
	mebibyte   = 1 << 20
	entrySize  = 128
	entries    = 128
	tableSize  = entrySize * entries
	headerSize = 92
	maxName    = 36
)

// Write makes the disk as a sparse file.
func (d Disk) Write(path string) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("make the disk: %w", err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = fmt.Errorf("make the disk: %w", closed)
		}
	}()
	if err = f.Truncate(d.Size); err != nil {
		return fmt.Errorf("make the disk: %w", err)
	}
	table, err := d.table()
	if err != nil {
		return err
	}
	last := d.Size/Sector - 1
	first, second := d.header(1, last, 2, table), d.header(last, 1, last-tableSize/Sector, table)
	writes := []struct {
		at   int64
		data []byte
	}{
		{0, d.mbr()},
		{Sector, first},
		{2 * Sector, table},
		{(last - tableSize/Sector) * Sector, table},
		{last * Sector, second},
	}
	for _, w := range writes {
		if _, err = f.WriteAt(w.data, w.at); err != nil {
			return fmt.Errorf("write the partition table: %w", err)
		}
	}
	return d.fill(f)
}

// fill copies the contents of the partitions, without their holes.
func (d Disk) fill(f *os.File) error {
	at := int64(mebibyte)
	for _, p := range d.Partitions {
		if p.Type == TypeBIOS && d.Core != nil {
			if err := d.embed(f, at); err != nil {
				return err
			}
		}
		if p.Image != "" {
			if err := copyInto(f, at, p); err != nil {
				return err
			}
		}
		at += p.Size
	}
	return nil
}

func copyInto(f *os.File, at int64, p Partition) error {
	in, err := os.Open(p.Image)
	if err != nil {
		return fmt.Errorf("fill the partition %s: %w", p.Name, err)
	}
	defer in.Close()
	block := make([]byte, mebibyte)
	for n := int64(0); ; n += mebibyte {
		got, err := io.ReadFull(in, block)
		if got > 0 {
			if n+int64(got) > p.Size {
				return fmt.Errorf("the contents of the partition %s are larger than it", p.Name)
			}
			if werr := writeData(f, block[:got], at+n); werr != nil {
				return fmt.Errorf("fill the partition %s: %w", p.Name, werr)
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return fmt.Errorf("fill the partition %s: %w", p.Name, err)
		}
	}
}

// writeData writes pages that are not all zero: the rest stays a hole.
func writeData(f *os.File, b []byte, at int64) error {
	const page = 4096
	for i := 0; i < len(b); i += page {
		one := b[i:min(i+page, len(b))]
		if bytes.Count(one, []byte{0}) == len(one) {
			continue
		}
		if _, err := f.WriteAt(one, at+int64(i)); err != nil {
			return err
		}
	}
	return nil
}

// table is the array of partition entries.
func (d Disk) table() ([]byte, error) {
	out := make([]byte, tableSize)
	at := int64(mebibyte)
	for i, p := range d.Partitions {
		row := out[i*entrySize:]
		name := utf16.Encode([]rune(p.Name))
		if len(name) > maxName || p.Size <= 0 || p.Size%mebibyte != 0 {
			return nil, fmt.Errorf("the partition %q has a name too long or %d bytes, no multiple of 1 MiB", p.Name, p.Size)
		}
		for off, text := range map[int]string{0: p.Type, 16: p.GUID} {
			id, err := guid(text)
			if err != nil {
				return nil, err
			}
			copy(row[off:], id)
		}
		binary.LittleEndian.PutUint64(row[32:], uint64(at/Sector))
		at += p.Size
		binary.LittleEndian.PutUint64(row[40:], uint64(at/Sector-1))
		for j, c := range name {
			binary.LittleEndian.PutUint16(row[56+2*j:], c)
		}
	}
	if at > d.Size-mebibyte {
		return nil, fmt.Errorf("the partitions need %d MiB, the disk has %d", at/mebibyte, d.Size/mebibyte)
	}
	if _, err := guid(d.GUID); err != nil {
		return nil, err
	}
	return out, nil
}

// header is one of the two (UEFI 2.10, 5.3.2).
func (d Disk) header(own, other, tableAt int64, table []byte) []byte {
	h := make([]byte, Sector)
	copy(h, "EFI PART\x00\x00\x01\x00")
	binary.LittleEndian.PutUint32(h[12:], headerSize)
	binary.LittleEndian.PutUint64(h[24:], uint64(own))
	binary.LittleEndian.PutUint64(h[32:], uint64(other))
	binary.LittleEndian.PutUint64(h[40:], 2+tableSize/Sector)
	binary.LittleEndian.PutUint64(h[48:], uint64(d.Size/Sector-2-tableSize/Sector))
	id, _ := guid(d.GUID) // judged by table
	copy(h[56:], id)
	binary.LittleEndian.PutUint64(h[72:], uint64(tableAt))
	binary.LittleEndian.PutUint32(h[80:], entries)
	binary.LittleEndian.PutUint32(h[84:], entrySize)
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(table))
	binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:headerSize]))
	return h
}

// mbr is the protective one, with the boot code.
func (d Disk) mbr() []byte {
	b := make([]byte, Sector)
	copy(b[:440], d.Boot)
	if d.Core != nil {
		patchBoot(b, mebibyte/Sector)
	}
	row := b[446:]
	row[2], row[4], row[5], row[6], row[7] = 2, 0xee, 0xff, 0xff, 0xff
	binary.LittleEndian.PutUint32(row[8:], 1)
	binary.LittleEndian.PutUint32(row[12:], uint32(min(d.Size/Sector-1, 0xffffffff)))
	b[510], b[511] = 0x55, 0xaa
	return b
}

// guid is the text in the order of bytes that a GPT has: the first three parts are
// little-endian.
func guid(text string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, "-", ""))
	if err != nil || len(b) != 16 {
		return nil, fmt.Errorf("%q is no GUID", text)
	}
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5] = b[5], b[4]
	b[6], b[7] = b[7], b[6]
	return b, nil
}
