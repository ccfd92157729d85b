package release

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/internal/minisign"
)

// DifferenceError names everything in which a folder is not the release that was signed.
type DifferenceError struct {
	Missing, Surplus, Changed []string // names of files, in order
}

// Error names all at once.
func (e *DifferenceError) Error() string {
	var parts []string
	for _, part := range []struct {
		word  string
		names []string
	}{{"missing", e.Missing}, {"not part of it", e.Surplus}, {"changed", e.Changed}} {
		if len(part.names) > 0 {
			parts = append(parts, part.word+": "+strings.Join(part.names, ", "))
		}
	}
	return "this is not the release that was signed: " + strings.Join(parts, "; ")
}

// Verify verifies a folder: the signature over the checksums by a key that is known from
// elsewhere, then every file. What differs is a *DifferenceError. Without the checksums
// or a signature that fits them nothing can be said of the files.
func Verify(dir string, key minisign.PublicKey) error {
	list, listErr := readSmall(filepath.Join(dir, Sums))
	signature, signatureErr := readSmall(filepath.Join(dir, Signature))
	if err := errors.Join(listErr, signatureErr); err != nil {
		return err
	}
	if _, err := key.Verify(bytes.NewReader(list), signature); err != nil {
		return fmt.Errorf("%s: %w", Signature, err)
	}
	want, err := parseSums(list)
	if err != nil {
		return err
	}
	return compare(dir, want)
}

func compare(dir string, want sums) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look at the release: %w", err)
	}
	var e DifferenceError
	there := map[string]bool{}
	for _, entry := range entries {
		name := entry.Name()
		_, wanted := want[name]
		switch {
		case name == Sums || name == Signature:
		case !wanted:
			e.Surplus = append(e.Surplus, shown(name))
		case !entry.Type().IsRegular():
			there[name] = true
			e.Changed = append(e.Changed, name)
		default:
			there[name] = true
			sum, err := sumOf(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			if sum != want[name] {
				e.Changed = append(e.Changed, name)
			}
		}
	}
	for name := range want {
		if !there[name] {
			e.Missing = append(e.Missing, name)
		}
	}
	slices.Sort(e.Missing)
	if len(e.Missing)+len(e.Surplus)+len(e.Changed) == 0 {
		return nil
	}
	return &e
}

// shown is a name that nobody has signed.
func shown(name string) string {
	if plain(name) {
		return name
	}
	return fmt.Sprintf("%q", name)
}
