package formats

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
)

// guid is 16 bytes that name an image, in the order in which they lie in the file.
type guid [16]byte

// digest is the SHA-256 of a whole file.
func digest(f *os.File) ([sha256.Size]byte, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("hash the image: %w", err)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// name derives a UUID of version 8 (RFC 9562: its bits are the maker's) for one use, in
// the byte order of Microsoft and of VirtualBox.
func name(sum [sha256.Size]byte, use string) guid {
	h := sha256.Sum256(append(sum[:], use...))
	g := guid(h[:16])
	g[7] = g[7]&0x0f | 0x80
	g[8] = g[8]&0x3f | 0x80
	return g
}

// write writes pieces at their offsets.
func write(f *os.File, pieces map[int64][]byte) error {
	for at, data := range pieces {
		if _, err := f.WriteAt(data, at); err != nil {
			return fmt.Errorf("settle the image: %w", err)
		}
	}
	return nil
}

// read reads n bytes at an offset.
func read(f *os.File, at int64, n int) ([]byte, error) {
	data := make([]byte, n)
	if _, err := f.ReadAt(data, at); err != nil {
		return nil, fmt.Errorf("read the image at %d: %w", at, err)
	}
	return data, nil
}
