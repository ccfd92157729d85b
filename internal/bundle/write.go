package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/vosbed/vosbed/internal/minisign"
)

// Names of the files in an archive, in their order.
const (
	manifestName  = "manifest.json"
	signatureName = manifestName + ".minisig"
	systemName    = "system.efi"
)

// Write writes the archive of a system: the same bytes for the same system, version and key.
func Write(w io.Writer, version string, system []byte, key minisign.SecretKey) error {
	sum := sha256.Sum256(system)
	manifest, err := Manifest{Product, version, Arch, int64(len(system)), hex.EncodeToString(sum[:])}.encode()
	if err != nil {
		return fmt.Errorf("make the manifest of the update: %w", err)
	}
	signature, err := key.Sign(bytes.NewReader(manifest), fmt.Sprintf("update of %s to %s", Product, version))
	if err != nil {
		return fmt.Errorf("sign the update: %w", err)
	}
	t := tar.NewWriter(w)
	for _, f := range []struct {
		name string
		data []byte
	}{{manifestName, manifest}, {signatureName, signature}, {systemName, system}} {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data)), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("write the update: %w", err)
		}
		if _, err := t.Write(f.data); err != nil {
			return fmt.Errorf("write the update: %w", err)
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("write the update: %w", err)
	}
	return nil
}
