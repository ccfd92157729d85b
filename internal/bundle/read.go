package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/vosbed/vosbed/internal/minisign"
)

// maxText bounds manifest and signature in bytes.
const maxText = 16 << 10

// Errors of reading. What the signature says is in the errors of package minisign.
var (
	ErrArchive   = errors.New("this is no update of this product")
	ErrTruncated = errors.New("the archive ends too early: it was not transferred wholly")
	ErrChanged   = errors.New("the system is not the one that was signed: the archive has been changed, or is damaged")
)

// Archive is an update whose manifest is signed as it must be. The system is read from it:
// only a reader that ended with [io.EOF] gave the system that was signed.
type Archive struct {
	Manifest Manifest

	tar  *tar.Reader
	hash hash.Hash
	left int64
	err  error
}

// Open reads as far as the system.
func Open(r io.Reader, key minisign.PublicKey) (*Archive, error) {
	t := tar.NewReader(r)
	manifest, err := text(t, manifestName)
	if err != nil {
		return nil, err
	}
	signature, err := text(t, signatureName)
	if err != nil {
		return nil, err
	}
	if _, err = key.Verify(bytes.NewReader(manifest), signature); err != nil {
		return nil, err
	}
	m, err := decode(manifest)
	if err != nil {
		return nil, fmt.Errorf("this update cannot be installed: %w", err)
	}
	size, err := next(t, systemName)
	if err != nil {
		return nil, err
	}
	if size != m.Size {
		return nil, ErrChanged
	}
	return &Archive{Manifest: m, tar: t, hash: sha256.New(), left: size}, nil
}

// Read reads the system.
func (a *Archive) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.tar.Read(p)
	a.hash.Write(p[:n])
	a.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF):
		a.err = a.end()
	case err != nil:
		a.err = cut(err)
	}
	return n, a.err
}

// System reads all of it, into as much memory as it takes.
func (a *Archive) System() ([]byte, error) {
	data := make([]byte, a.left)
	_, err := io.ReadFull(a, data)
	if err == nil {
		_, err = io.Copy(io.Discard, a) // its end tells whether it is the one that was signed
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// end is EOF if everything was as it was signed.
func (a *Archive) end() error {
	if a.left != 0 {
		return ErrTruncated
	}
	if hex.EncodeToString(a.hash.Sum(nil)) != a.Manifest.SHA256 {
		return ErrChanged
	}
	if _, err := a.tar.Next(); !errors.Is(err, io.EOF) {
		if err != nil {
			return cut(err)
		}
		return fmt.Errorf("%w: it holds more than an update does", ErrArchive)
	}
	return io.EOF
}

// next goes to a file that must come now and returns its size.
func next(t *tar.Reader, name string) (int64, error) {
	h, err := t.Next()
	switch {
	case errors.Is(err, io.EOF):
		return 0, fmt.Errorf("%w: it holds no %s", ErrArchive, name)
	case err != nil:
		return 0, cut(err)
	case h.Name != name || h.Typeflag != tar.TypeReg || h.Format&tar.FormatUSTAR == 0 || len(h.PAXRecords) > 0:
		return 0, fmt.Errorf("%w: it holds %.80q where %s is expected", ErrArchive, h.Name, name)
	}
	return h.Size, nil
}

// text is a small file.
func text(t *tar.Reader, name string) ([]byte, error) {
	size, err := next(t, name)
	if err != nil {
		return nil, err
	}
	if size > maxText {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrArchive, name, size)
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return nil, cut(err)
	}
	return data, nil
}

// cut says what the tar reader's error means to a person; what the stream itself says is
// passed on.
func cut(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	case errors.Is(err, tar.ErrHeader):
		return fmt.Errorf("%w: it is no tar archive", ErrArchive)
	}
	return fmt.Errorf("read the archive: %w", err)
}
