package bundle

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MaxChecksum bounds a checksum file in bytes.
const MaxChecksum = 64 << 10

// ErrChecksum says that an archive is not the one that a checksum file names.
var ErrChecksum = errors.New("the checksum is that of another file")

// CheckSum holds the SHA-256 of an archive against a checksum file: one of sha256sum, which
// may name more files, or the bare sum.
func CheckSum(file []byte, sum [32]byte) error {
	if len(file) > MaxChecksum {
		return errors.New("this is no checksum file: it is too long")
	}
	want, seen := hex.EncodeToString(sum[:]), 0
	for line := range strings.Lines(string(file)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if raw, err := hex.DecodeString(words[0]); err != nil || len(raw) != len(sum) {
			continue
		}
		if strings.EqualFold(words[0], want) {
			return nil
		}
		seen++
	}
	if seen == 0 {
		return errors.New("this is no checksum file: it holds no SHA-256")
	}
	return fmt.Errorf("%w: the archive has %s", ErrChecksum, want)
}
