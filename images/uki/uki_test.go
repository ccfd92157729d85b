package uki_test

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/images/uki"
)

// stub is a small EFI program with one section and room for a few more.
func stub() []byte {
	b := make([]byte, 0x600)
	copy(b, "MZ")
	const at = 0x80
	binary.LittleEndian.PutUint32(b[0x3c:], at)
	copy(b[at:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[at+4:], 0x8664)
	binary.LittleEndian.PutUint16(b[at+6:], 1)
	binary.LittleEndian.PutUint16(b[at+20:], 240)
	opt := b[at+24:]
	binary.LittleEndian.PutUint16(opt, 0x20b)
	binary.LittleEndian.PutUint32(opt[32:], 0x200)
	binary.LittleEndian.PutUint32(opt[36:], 0x200)
	binary.LittleEndian.PutUint32(opt[60:], 0x400)
	binary.LittleEndian.PutUint32(opt[108:], 16)
	row := opt[240:]
	copy(row, ".text")
	binary.LittleEndian.PutUint32(row[8:], 0x150)
	binary.LittleEndian.PutUint32(row[12:], 0x1000)
	binary.LittleEndian.PutUint32(row[16:], 0x200)
	binary.LittleEndian.PutUint32(row[20:], 0x400)
	return b
}

func TestBuild(t *testing.T) {
	kernel, root := bytes.Repeat([]byte("kernel"), 1000), []byte("root")
	got, err := uki.Build(stub(), uki.Section{Name: ".linux", Data: kernel}, uki.Section{Name: ".initrd", Data: root})
	if err != nil {
		t.Fatal(err)
	}
	again, err := uki.Build(stub(), uki.Section{Name: ".linux", Data: kernel}, uki.Section{Name: ".initrd", Data: root})
	if err != nil || !bytes.Equal(got, again) {
		t.Errorf("equal parts gave other bytes: %v", err)
	}
	f, err := pe.NewFile(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	end := uint32(0)
	for _, s := range f.Sections {
		if s.VirtualAddress < end || s.VirtualAddress%0x1000 != 0 {
			t.Errorf("%s begins at %#x, the one before it ends at %#x", s.Name, s.VirtualAddress, end)
		}
		end = s.VirtualAddress + s.VirtualSize
	}
	for name, want := range map[string][]byte{".linux": kernel, ".initrd": root} {
		s := f.Section(name)
		if s == nil {
			t.Fatalf("no section %s", name)
		}
		data, err := s.Data()
		if err != nil || !bytes.Equal(data[:s.VirtualSize], want) {
			t.Errorf("%s does not hold its data: %v", name, err)
		}
	}
	if size := f.OptionalHeader.(*pe.OptionalHeader64).SizeOfImage; size < end { //nolint:forcetypeassert // Build refuses others
		t.Errorf("the image has %#x bytes in memory, its sections end at %#x", size, end)
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct {
		err  string
		stub []byte
		add  []uki.Section
	}{
		{"no EFI program", []byte("MZ"), nil},
		{"no name", stub(), []uki.Section{{Name: ""}}},
		{"no name", stub(), []uki.Section{{Name: ".muchtoolong"}}},
		{"room for", stub(), make([]uki.Section, 30)},
	}
	for _, tt := range tests {
		if _, err := uki.Build(tt.stub, tt.add...); err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%v, want %q", err, tt.err)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add(stub())
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = uki.Build(data, uki.Section{Name: ".linux", Data: []byte("x")})
	})
}
