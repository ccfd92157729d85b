package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/images/kmod"
)

// IndexFile is where the image has the index of its modules.
const IndexFile = "/lib/modules/index.json"

// loader loads kernel modules.
type loader struct {
	index  kmod.Index
	loaded map[string]bool
}

func newLoader() (*loader, error) {
	data, err := os.ReadFile(IndexFile)
	if err != nil {
		return nil, fmt.Errorf("read the index of modules: %w", err)
	}
	x, err := kmod.ParseIndex(data)
	return &loader{index: x, loaded: map[string]bool{}}, err
}

// load loads modules and what they need. A device that is not there is no mistake.
func (l *loader) load(names ...string) error {
	var errs []error
	for _, name := range names {
		order, err := l.index.Order(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, m := range order {
			if l.loaded[m.Name] {
				continue
			}
			if err := insert(m.Path); err != nil {
				errs = append(errs, fmt.Errorf("load %s: %w", m.Name, err))
				break
			}
			l.loaded[m.Name] = true
		}
	}
	return errors.Join(errs...)
}

func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV) {
		return nil // it is there already, or its hardware is not
	}
	return err
}

// coldplug loads what serves the devices that are there, and again what serves the
// devices that this brought: a controller first, then what hangs on it.
func (l *loader) coldplug() error {
	const rounds = 8
	var errs []error
	seen := map[string]bool{}
	for range rounds {
		fresh := false
		for _, alias := range modaliases() {
			if seen[alias] {
				continue
			}
			seen[alias], fresh = true, true
			if err := l.load(l.index.For(alias)...); err != nil {
				errs = append(errs, err)
			}
		}
		if !fresh {
			break
		}
	}
	return errors.Join(errs...)
}

// modaliases are what the devices of the machine are called.
func modaliases() []string {
	var out []string
	_ = filepath.WalkDir("/sys/devices", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "modalias" {
			return nil //nolint:nilerr // devices come and go: one that went is none
		}
		if data, err := os.ReadFile(path); err == nil {
			out = append(out, strings.TrimSpace(string(data)))
		}
		return nil
	})
	return out
}
