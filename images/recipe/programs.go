package recipe

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/vosbed/vosbed/images/debian"
)

// programs are Debian's own that are better than ours would be, by their packages.
func programs() map[string][]string {
	return map[string][]string{
		"openssh-server":      {"/usr/sbin/sshd"},
		"openssh-client":      {"/usr/bin/ssh-keygen", "/usr/bin/ssh", "/usr/bin/scp"},
		"openssh-sftp-server": {"/usr/lib/openssh/sftp-server"},
		"chrony":              {"/usr/sbin/chronyd", "/usr/bin/chronyc"},
		"tcpdump":             {"/usr/bin/tcpdump"},
		"nftables":            {"/usr/sbin/nft"},
		"dosfstools":          {"/sbin/fsck.fat"},
	}
}

// Where the dynamic linker is, and where it looks for libraries.
const (
	linker     = "/lib64/ld-linux-x86-64.so.2"
	linkerName = "ld-linux-x86-64.so.2"
	libraryDir = "/usr/lib/x86_64-linux-gnu/"
)

// library is a shared library of a pinned package.
type library struct {
	data   []byte
	needed []string
}

// programs puts Debian's programs into the system, with the libraries that they need and
// no others.
func (b *builder) programs(ctx context.Context, t *tree) error {
	var want []string
	for pkg, paths := range programs() {
		deb, err := b.deb(ctx, pkg)
		if err != nil {
			return err
		}
		for _, at := range paths {
			f, err := debian.One(ctx, deb, func(p string) bool { return p == at })
			if err != nil {
				return err
			}
			_, needed, err := parseELF(f.Data)
			if err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
			t.file(at, 0o755, f.Data)
			want = append(want, needed...)
		}
	}
	all, err := b.libraries(ctx)
	if err != nil {
		return err
	}
	return link(t, all, want)
}

// libraries are the shared libraries of the pinned packages, by the names that programs
// call them.
func (b *builder) libraries(ctx context.Context) (map[string]library, error) {
	all := map[string]library{}
	for _, p := range b.Lock.Packages {
		if !strings.HasPrefix(p.Name, "lib") && p.Name != "zlib1g" {
			continue
		}
		deb, err := b.Cache.Get(ctx, p)
		if err != nil {
			return nil, err
		}
		isLibrary := func(at string) bool {
			return strings.Contains(path.Base(at), ".so") && !strings.Contains(at, "/gconv/")
		}
		err = debian.Files(ctx, deb, isLibrary, func(f debian.File) error {
			if soname, needed, problem := parseELF(f.Data); problem == nil && soname != "" {
				all[soname] = library{f.Data, needed}
			}
			return nil // a text or a plug-in is no library
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// link adds the dynamic linker, what is wanted, and what that wants.
func link(t *tree, all map[string]library, want []string) error {
	var missing []error
	done := map[string]bool{}
	want = append(want, linkerName)
	for len(want) > 0 {
		name := want[0]
		want = want[1:]
		if done[name] {
			continue
		}
		done[name] = true
		lib, ok := all[name]
		if !ok {
			missing = append(missing, fmt.Errorf("no pinned package has the library %s", name))
			continue
		}
		at := libraryDir + name
		if name == linkerName {
			at = linker
		}
		t.file(at, 0o755, lib.data)
		want = append(want, lib.needed...)
	}
	return errors.Join(missing...)
}

// parseELF returns what a program or library is called and what it needs.
func parseELF(data []byte) (soname string, needed []string, err error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return "", nil, err
	}
	names, err := f.DynString(elf.DT_SONAME)
	if err != nil {
		return "", nil, err
	}
	if len(names) > 0 {
		soname = names[0]
	}
	needed, err = f.ImportedLibraries()
	return soname, needed, err
}
