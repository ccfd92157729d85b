// Package release makes a folder of images into one that may be given away: a ReadMe that
// says what each file is for, an index by which appliances find the update in it, the checksums
// of all, and a signature over them. It also verifies such a folder.
package release

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
)

// Files that are made here.
const (
	ReadMe    = "ReadMe.txt"
	Sums      = "SHA256SUMS"
	Signature = Sums + ".minisig"
	PublicKey = "vosbed.pub"
)

// Options say what is released.
type Options struct {
	Name, Version string // beginning of the names of all images: name-version
	User          string // who logs in to the WebUI first
	Key           minisign.SecretKey
}

// KeyPath is where the key of this user's releases lies: never in a repository.
func KeyPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the key: %w", err)
	}
	return filepath.Join(dir, "vosbed", "release.key"), nil
}

// Write writes ReadMe, public key, checksums and signature into a folder of images. The
// folder must hold nothing else: a file that nobody knows the use of is named and nothing
// is written. The raw disk, 20 GiB of holes, belongs elsewhere; its packed form is here.
func Write(dir string, o Options) error {
	images, err := o.images(dir)
	if err != nil {
		return err
	}
	text, err := o.readMe(images)
	if err != nil {
		return err
	}
	index, err := o.index(dir, images)
	if err != nil {
		return err
	}
	made := append(index, file{ReadMe, text}, file{PublicKey, o.Key.Public().File()})
	for _, f := range made {
		if err = f.write(dir); err != nil {
			return err
		}
	}
	sums, err := sumsOf(dir)
	if err != nil {
		return err
	}
	list := sums.encode()
	signature, err := o.Key.Sign(bytes.NewReader(list), fmt.Sprintf("%s %s", o.Name, o.Version))
	if err != nil {
		return fmt.Errorf("sign the checksums: %w", err)
	}
	return errors.Join(file{Sums, list}.write(dir), file{Signature, signature}.write(dir))
}

// images are the files of a folder whose use is known.
func (o Options) images(dir string) ([]image, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look at the release: %w", err)
	}
	var out []image
	var errs []error
	for _, e := range entries {
		if own(e.Name()) {
			continue
		}
		suffix, ok := strings.CutPrefix(e.Name(), o.Name+"-"+o.Version)
		use := uses()[suffix]
		info, err := e.Info()
		if !ok || use == "" || err != nil || !info.Mode().IsRegular() {
			errs = append(errs, fmt.Errorf("%s is no file of a release: take it out of the folder", filepath.Join(dir, e.Name())))
			continue
		}
		out = append(out, image{e.Name(), use, info.Size()})
	}
	if len(out)+len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%s holds no image", dir))
	}
	return out, errors.Join(errs...)
}

// own tells the files that are made here.
func own(name string) bool {
	switch name {
	case ReadMe, Sums, Signature, PublicKey, bundle.IndexName, bundle.IndexSignatureName:
		return true
	}
	return false
}

// image is a file as the ReadMe names it.
type image struct {
	Name, Use string
	size      int64
}

// Size is for people.
func (i image) Size() string { return fmt.Sprintf("%.1f MB", float64(i.size)/1e6) }

// file is a small file that is made here.
type file struct {
	name string
	data []byte
}

// write replaces a file as a whole.
func (f file) write(dir string) error {
	at := filepath.Join(dir, f.name)
	if err := os.WriteFile(at+".part", f.data, 0o644); err != nil {
		return fmt.Errorf("write the release: %w", err)
	}
	if err := os.Rename(at+".part", at); err != nil {
		return fmt.Errorf("write the release: %w", err)
	}
	return nil
}

// sumOf is the SHA-256 of a file in hexadecimal.
func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the release: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read the release: %w", err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
