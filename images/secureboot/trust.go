package secureboot

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/vosbed/vosbed/internal/uefi"
)

// Programs that are signed.
const (
	Loader = "BOOTX64.EFI" // the boot loader
	System = "system.efi"  // the unified kernel image
)

// Sign signs one of the programs; which one does not matter to who has the keys.
func (k Keys) Sign(_ string, image []byte) ([]byte, error) { return k.Image.Sign(image) }

// Given is what somebody else signed: his keys' files, and his signed programs. Whatever is
// built again gets his signatures, so that equal sources give equal bytes, and others do not.
type Given struct{ Files, Programs map[string][]byte }

// Enrolment are his files.
func (g Given) Enrolment() (map[string][]byte, error) { return g.Files, nil }

// Sign puts his signatures on a program.
func (g Given) Sign(name string, image []byte) ([]byte, error) {
	plain, _, err := uefi.Split(image)
	if err != nil {
		return nil, err
	}
	_, signatures, err := uefi.Split(g.Programs[name])
	if err != nil {
		return nil, fmt.Errorf("take the signatures of %s: %w", name, err)
	}
	return uefi.Join(plain, signatures)
}

// Bounds of a package of keys in bytes.
const maxFile, maxFiles = 1 << 20, 20

var errPackage = errors.New("this is no package of keys for Secure Boot")

// Pack makes an archive of the files that a firmware takes keys by and of the signed boot
// loader (tar(5)).
func Pack(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Format: tar.FormatUSTAR}); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, fmt.Errorf("pack %s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the keys for Secure Boot: %w", err)
	}
	return b.Bytes(), nil
}

// Unpack is the inverse of Pack.
func Unpack(r io.Reader) (map[string][]byte, error) {
	files := map[string][]byte{}
	for archive := tar.NewReader(io.LimitReader(r, maxFile*maxFiles)); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil || head.Size > maxFile || head.Typeflag != tar.TypeReg || len(files) >= maxFiles {
			return nil, errors.Join(errPackage, err)
		}
		if files[head.Name], err = io.ReadAll(archive); err != nil {
			return nil, errors.Join(errPackage, err)
		}
	}
}
