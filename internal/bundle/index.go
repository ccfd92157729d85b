package bundle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vosbed/vosbed/internal/minisign"
)

// Names of the files by which the folder of a release on a web server tells what it holds
// (guide 9.4.1).
const (
	IndexName          = "latest.json"
	IndexSignatureName = IndexName + ".minisig"
)

// MaxIndex bounds an index, and its signature, in bytes.
const MaxIndex = 64 << 10

// maxNotes bounds what an index says about a version, in bytes.
const maxNotes = 32 << 10

// Index is what a folder of a release says of its update.
type Index struct {
	Product string `json:"product"`
	Arch    string `json:"arch"`
	Version string `json:"version"`
	File    string `json:"file"`   // the archive, in the same folder
	Size    int64  `json:"size"`   // of the archive in bytes
	SHA256  string `json:"sha256"` // of the archive, hexadecimal
	Notes   string `json:"notes"`  // what is new, for people
}

// Encode is the index's file and the file of its signature: the same bytes for the same
// index and key.
func (x Index) Encode(key minisign.SecretKey) (file, signature []byte, err error) {
	if err = x.check(); err != nil {
		return nil, nil, fmt.Errorf("make the index of the update: %w", err)
	}
	text, err := json.MarshalIndent(x, "", "  ")
	if err != nil {
		return nil, nil, fmt.Errorf("make the index of the update: %w", err)
	}
	file = append(text, '\n')
	signature, err = key.Sign(bytes.NewReader(file), "index of "+x.File)
	if err != nil {
		return nil, nil, fmt.Errorf("sign the index of the update: %w", err)
	}
	return file, signature, nil
}

// OpenIndex reads an index if the key has signed it.
func OpenIndex(file, signature []byte, key minisign.PublicKey) (Index, error) {
	if _, err := key.Verify(bytes.NewReader(file), signature); err != nil {
		return Index{}, err
	}
	var x Index
	if err := strictly(file, &x); err != nil {
		return Index{}, fmt.Errorf("it %w", err)
	}
	return x, x.check()
}

// check tells everything that cannot be.
func (x Index) check() error {
	var errs []error
	if x.Product != Product || x.Arch != Arch {
		errs = append(errs, fmt.Errorf("it is for %.40q on %.40q, not for %s on %s", x.Product, x.Arch, Product, Arch))
	}
	if _, err := ParseVersion(x.Version); err != nil {
		errs = append(errs, err)
	}
	if x.File == "" || len(x.File) > 200 || strings.HasPrefix(x.File, ".") || strings.ContainsFunc(x.File, func(r rune) bool { return r != '.' && notWord(r) }) {
		errs = append(errs, fmt.Errorf("%.80q is not the name of an archive: letters, digits, - and . are", x.File))
	}
	if x.Size < 1 || x.Size > MaxArchive {
		errs = append(errs, fmt.Errorf("its archive has %d bytes, possible are 1 to %d", x.Size, int64(MaxArchive)))
	}
	if raw, err := hex.DecodeString(x.SHA256); err != nil || len(raw) != 32 || strings.ToLower(x.SHA256) != x.SHA256 {
		errs = append(errs, errors.New("it has no SHA-256 of the archive"))
	}
	if len(x.Notes) > maxNotes || !utf8.ValidString(x.Notes) || strings.ContainsFunc(x.Notes, hidden) {
		errs = append(errs, fmt.Errorf("its notes have more than %d bytes, or characters that cannot be seen", maxNotes))
	}
	return errors.Join(errs...)
}

// hidden are characters that do something to a terminal or a page instead of being read.
func hidden(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }
