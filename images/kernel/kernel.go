// Package kernel takes Debian's kernel packages apart: the kernel itself, and its modules
// with all that they need. The modules of newer kernels are compressed by xz.
package kernel

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/images/debian"
	"github.com/vosbed/vosbed/images/kmod"
)

// Kernel is an unpacked package.
type Kernel struct {
	// Image is the kernel as boot loaders start it.
	Image []byte
	// dir holds the modules by their file names: a kernel has no two of one name.
	dir string
	// places are where modules lie in the kernel's tree, such as net/8021q/8021q.ko.
	places  []string
	builtin map[string]bool
	index   kmod.Index
}

// Unpack takes a package apart in a folder, which the kernel needs as long as it is used.
// Modules from places in the kernel's tree that are not wanted are left out: to unpack all
// of them takes half a gigabyte.
func Unpack(ctx context.Context, deb, dir string, want func(place string) bool) (*Kernel, error) {
	k := &Kernel{dir: dir, builtin: map[string]bool{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make room to unpack a kernel: %w", err)
	}
	isWanted := func(at string) bool {
		place, isModule := placeOf(at)
		return isModule && want(place) || isKernel(at) || isBuiltinList(at)
	}
	if err := debian.Files(ctx, deb, isWanted, k.take); err != nil {
		return nil, err
	}
	if k.Image == nil {
		return nil, fmt.Errorf("%s has no kernel", deb)
	}
	return k, k.read(ctx)
}

func isKernel(at string) bool { return strings.HasPrefix(at, "/boot/vmlinuz-") }

func isBuiltinList(at string) bool { return path.Base(at) == "modules.builtin" }

// compressed ends the names of modules that xz has to unpack.
const compressed = ".xz"

// placeOf is where in the kernel's tree a module of a package lies, false if it is none.
func placeOf(at string) (string, bool) {
	_, in, _ := strings.Cut(strings.TrimSuffix(at, compressed), "/kernel/")
	return in, strings.HasSuffix(in, ".ko")
}

// take keeps a file of the package.
func (k *Kernel) take(f debian.File) error {
	place, isModule := placeOf(f.Path)
	switch {
	case isModule:
		k.places = append(k.places, place)
		return os.WriteFile(filepath.Join(k.dir, path.Base(f.Path)), f.Data, 0o644)
	case isKernel(f.Path):
		k.Image = f.Data
	default:
		for line := range strings.Lines(string(f.Data)) {
			k.builtin[kmod.Name(strings.TrimSpace(line))] = true
		}
	}
	return nil
}

// read reads what the modules say of themselves.
func (k *Kernel) read(ctx context.Context) error {
	if err := k.decompress(ctx); err != nil {
		return err
	}
	for _, place := range k.places {
		data, err := k.data(place)
		if err != nil {
			return err
		}
		m, err := kmod.Parse(path.Join("/lib/modules", path.Base(place)), data)
		if err != nil {
			return err
		}
		k.index.Modules = append(k.index.Modules, m)
	}
	return nil
}

// decompress has xz (Debian: xz-utils) replace each compressed file by its contents.
func (k *Kernel) decompress(ctx context.Context) error {
	found, err := filepath.Glob(filepath.Join(k.dir, "*"+compressed))
	if err != nil || len(found) == 0 {
		return err
	}
	for some := range slices.Chunk(found, 500) { // an argument list is bounded
		if out, err := exec.CommandContext(ctx, "xz", append([]string{"-d", "--"}, some...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("decompress the modules (Debian: apt-get install xz-utils): %w: %s", err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

func (k *Kernel) data(at string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(k.dir, path.Base(at)))
	if err != nil {
		return nil, fmt.Errorf("read a module: %w", err)
	}
	return data, nil
}

// Names are the modules from wanted places.
func (k *Kernel) Names(want func(place string) bool) []string {
	var out []string
	for _, place := range k.places {
		if want(place) {
			out = append(out, kmod.Name(place))
		}
	}
	return out
}

// Modules returns the modules of those names with all that they need, and their contents by
// their paths in a system. A name that is built into the kernel needs no module.
func (k *Kernel) Modules(names ...string) (kmod.Index, map[string][]byte, error) {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return k.builtin[name] })
	order, err := k.index.Order(names...)
	if err != nil {
		return kmod.Index{}, nil, err
	}
	files := map[string][]byte{}
	for _, m := range order {
		if files[m.Path], err = k.data(m.Path); err != nil {
			return kmod.Index{}, nil, err
		}
	}
	return kmod.Index{Modules: order}, files, nil
}
