package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/images/kmod"
)

// IndexFile is where the image has the index of its modules.
const IndexFile = "/lib/modules/index.json"

// loader loads kernel modules, each of them once.
type loader struct {
	index kmod.Index
	// put puts a module's file into the kernel.
	put func(path string) error

	mu    sync.Mutex
	loads map[string]*loading
}

// loading is a module that is being loaded.
type loading struct {
	done chan struct{}
	err  error // when done is closed
}

func newLoader() (*loader, error) {
	l := &loader{put: insert, loads: map[string]*loading{}}
	data, err := os.ReadFile(IndexFile)
	if err != nil {
		return l, fmt.Errorf("read the index of modules: %w", err)
	}
	l.index, err = kmod.ParseIndex(data)
	return l, err
}

// load loads modules and what they need, all of them at once: the kernel takes a tenth of a
// second to check the signature of one where it is emulated. A device that is not there is
// no mistake.
func (l *loader) load(names ...string) error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { errs[i] = l.one(name) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (l *loader) one(name string) error {
	order, err := l.index.Order(name)
	if err != nil {
		return err
	}
	for _, m := range order {
		if err := l.once(m); err != nil {
			return fmt.Errorf("load %s: %w", m.Name, err)
		}
	}
	return nil
}

// once loads a module, or waits for whoever loads it. One that failed is tried again by the
// next who asks.
func (l *loader) once(m kmod.Module) error {
	l.mu.Lock()
	now, ok := l.loads[m.Name]
	if !ok {
		now = &loading{done: make(chan struct{})}
		l.loads[m.Name] = now
	}
	l.mu.Unlock()
	if ok {
		<-now.done
		return now.err
	}
	if now.err = l.put(m.Path); now.err != nil {
		l.mu.Lock()
		delete(l.loads, m.Name)
		l.mu.Unlock()
	}
	close(now.done)
	return now.err
}

func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), parameters(path), 0)
	if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENODEV) {
		return nil // it is there already, or its hardware is not
	}
	return err
}

// parameters are those that a module is loaded with. By itself, bonding makes a bond0 that
// nobody has asked for.
func parameters(path string) string {
	if name, _, _ := strings.Cut(filepath.Base(path), "."); name == "bonding" {
		return "max_bonds=0"
	}
	return ""
}

// coldplug loads what serves the devices that are there, and again what serves the
// devices that this brought: a controller first, then what hangs on it.
func (l *loader) coldplug() error {
	const rounds = 8
	var errs []error
	seen := map[string]bool{}
	for range rounds {
		var names []string
		fresh := false
		for _, alias := range modaliases() {
			if !seen[alias] {
				seen[alias], fresh = true, true
				names = append(names, l.index.For(alias)...)
			}
		}
		if !fresh {
			break
		}
		slices.Sort(names)
		errs = append(errs, l.load(slices.Compact(names)...))
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
