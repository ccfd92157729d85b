package bundle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Product and Arch are what this program may be updated with.
const (
	Product = "vosbed"
	Arch    = "amd64"
)

// MaxSystem bounds a system in bytes: a slot of the boot partition has no more room.
const MaxSystem = 150 << 20

// MaxArchive bounds an archive in bytes.
const MaxArchive = MaxSystem + 1<<20

// Manifest says what an archive holds.
type Manifest struct {
	Product string `json:"product"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Size    int64  `json:"size"`   // of the system in bytes
	SHA256  string `json:"sha256"` // of the system, hexadecimal
}

// encode is the manifest's file.
func (m Manifest) encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	return append(text, '\n'), err
}

// decode reads a manifest whose signature was verified.
func decode(text []byte) (Manifest, error) {
	var m Manifest
	if err := strictly(text, &m); err != nil {
		return Manifest{}, fmt.Errorf("its manifest %w", err)
	}
	return m, m.check()
}

// strictly reads JSON that has no other keys and nothing after its end. The error goes on
// after the name of what was read.
func strictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("has something after its end")
	}
	return nil
}

// check tells everything that cannot be.
func (m Manifest) check() error {
	var errs []error
	if m.Product != Product {
		errs = append(errs, fmt.Errorf("it is for %.40q, not for %s", m.Product, Product))
	}
	if m.Arch != Arch {
		errs = append(errs, fmt.Errorf("it is for the processor %.40q, not for %s", m.Arch, Arch))
	}
	if _, err := ParseVersion(m.Version); err != nil {
		errs = append(errs, err)
	}
	if m.Size < 1 || m.Size > MaxSystem {
		errs = append(errs, fmt.Errorf("its system has %d bytes, possible are 1 to %d", m.Size, MaxSystem))
	}
	if raw, err := hex.DecodeString(m.SHA256); err != nil || len(raw) != 32 || strings.ToLower(m.SHA256) != m.SHA256 {
		errs = append(errs, errors.New("its manifest has no SHA-256 of the system"))
	}
	return errors.Join(errs...)
}
