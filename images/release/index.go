package release

import (
	_ "embed"
	"path/filepath"
	"strings"

	"github.com/vosbed/vosbed/internal/bundle"
)

// notes say what is new in the version that these sources make: whoever updates online
// reads them first. They are of the sources, as equal sources give equal bytes.
//
//go:embed notes.txt
var notes string

// index are the files by which appliances find the update of this folder, if it is on a web
// server (guide 9.4.1); none without an update.
func (o Options) index(dir string, images []image) ([]file, error) {
	for _, i := range images {
		if !strings.HasSuffix(i.Name, Update) {
			continue
		}
		sum, err := sumOf(filepath.Join(dir, i.Name))
		if err != nil {
			return nil, err
		}
		x := bundle.Index{Product: bundle.Product, Arch: bundle.Arch, Version: o.Version, File: i.Name, Size: i.size, SHA256: sum, Notes: notes}
		text, signature, err := x.Encode(o.Key)
		if err != nil {
			return nil, err
		}
		return []file{{bundle.IndexName, text}, {bundle.IndexSignatureName, signature}}, nil
	}
	return nil, nil
}
