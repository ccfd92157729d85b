package bundle

import (
	"archive/tar"
	"io"
)

// Peek reads what an archive says of itself. Nothing of it is verified: whoever installs it
// does that.
func Peek(r io.Reader) (Manifest, error) {
	manifest, err := text(tar.NewReader(r), manifestName)
	if err != nil {
		return Manifest{}, err
	}
	return decode(manifest)
}
