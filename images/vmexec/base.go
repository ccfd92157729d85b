package vmexec

import (
	"bytes"
	"context"
	_ "embed" // the lock
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/vosbed/vosbed/images/cpio"
	"github.com/vosbed/vosbed/images/debian"
	"github.com/vosbed/vosbed/images/kmod"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

//go:embed lock.json
var lockFile []byte

// prefix begins the name of the pinned package of a kernel series, such as "6.1".
func prefix(series string) string { return "linux-image-" + series + "." }

// metas name, for each series, the package that depends on its newest kernel.
func metas() map[string]string {
	return map[string]string{
		prefix("6.1"):  "linux-image-cloud-amd64",
		prefix("6.12"): "linux-image-6.12-cloud-amd64",
	}
}

// indexFile is where the machine has the index of its modules.
const indexFile = "/lib/modules/index.json"

// parts are the modules that a machine has, by their place in the kernel's tree; what
// they need comes along.
func parts() []string {
	return []string{
		"net/netfilter/", "net/sched/", "net/bridge/", "net/8021q/", "net/packet/", "net/ipv4/", "net/ipv6/", "net/xfrm/", "net/netlink/", "net/unix/",
		"drivers/net/dummy", "drivers/net/veth", "drivers/net/macvlan", "drivers/net/tun.", "drivers/net/ifb",
		"drivers/net/vrf", "drivers/net/bonding/",
	}
}

// base is a kernel and the archive of its modules.
type base struct{ kernel, archive string }

// Relock pins the newest kernel of each series that apt knows, in the lock file at path.
func Relock(ctx context.Context, cache, path string) error {
	lock, err := debian.ReadLock(path)
	if err != nil {
		return err
	}
	fresh, err := packages(cache).Relock(ctx, lock, metas())
	if err != nil {
		return err
	}
	return fresh.Write(path)
}

func packages(cache string) debian.Cache { return debian.Cache{Dir: filepath.Join(cache, "packages")} }

// openBase returns the base of the pinned kernel of a series, unpacking it if the cache
// lacks it.
func openBase(ctx context.Context, cache, series string) (base, error) {
	pinned, err := pin(series)
	if err != nil {
		return base{}, err
	}
	dir := filepath.Join(cache, "kernels", pinned.SHA256[:16])
	b := base{filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "base.cpio")}
	if _, err = os.Stat(b.archive); err == nil {
		return b, nil
	}
	if err = os.MkdirAll(dir, 0o755); err != nil {
		return base{}, fmt.Errorf("make the kernel cache: %w", err)
	}
	deb, err := packages(cache).Get(ctx, pinned)
	if err != nil {
		return base{}, err
	}
	return b, unpack(ctx, deb, b)
}

// pin is the package of a series.
func pin(series string) (debian.Package, error) {
	lock, err := debian.ParseLock("images/vmexec/lock.json", lockFile)
	if err != nil {
		return debian.Package{}, err
	}
	var have []string
	for _, p := range lock.Packages {
		if strings.HasPrefix(p.Name, prefix(series)) {
			return p, nil
		}
		have = append(have, p.Name)
	}
	return debian.Package{}, fmt.Errorf("no kernel of the series %q is pinned, but %s", series, strings.Join(have, ", "))
}

// unpack takes the kernel and its modules out of a package. The archive is written last:
// its presence says that all is there.
func unpack(ctx context.Context, deb string, to base) error {
	stage, err := os.MkdirTemp(filepath.Dir(to.archive), "stage-")
	if err != nil {
		return fmt.Errorf("make room to unpack a kernel: %w", err)
	}
	defer os.RemoveAll(stage)
	var kernel []byte
	var staged, wanted []string
	err = debian.Files(ctx, deb, func(at string) bool {
		return strings.HasPrefix(at, "/boot/vmlinuz-") || isModule(at)
	}, func(f debian.File) error {
		if strings.HasPrefix(f.Path, "/boot/") {
			kernel = f.Data
			return nil
		}
		at := filepath.Join(stage, path.Base(f.Path))
		staged = append(staged, at)
		if isPart(f.Path) {
			wanted = append(wanted, kmod.Name(plain(f.Path)))
		}
		return os.WriteFile(at, f.Data, 0o644)
	})
	if err != nil {
		return err
	}
	if kernel == nil {
		return fmt.Errorf("%s has no kernel", deb)
	}
	archive, err := archiveOf(ctx, staged, wanted)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(to.kernel, kernel, 0o644); err != nil {
		return err
	}
	return atomicfile.Write(to.archive, archive, 0o644)
}

func isModule(at string) bool { return strings.HasSuffix(plain(at), ".ko") }

// plain is a module's path without the ending of its compression.
func plain(at string) string { return strings.TrimSuffix(at, ".xz") }

// archiveOf makes the archive of the wanted modules and of what they need.
func archiveOf(ctx context.Context, staged, wanted []string) ([]byte, error) {
	if err := decompress(ctx, staged); err != nil {
		return nil, err
	}
	var all kmod.Index
	data := map[string][]byte{}
	for _, at := range staged {
		b, err := os.ReadFile(plain(at))
		if err != nil {
			return nil, fmt.Errorf("read a module: %w", err)
		}
		m, err := kmod.Parse(path.Join("/lib/modules", path.Base(plain(at))), b)
		if err != nil {
			return nil, err
		}
		all.Modules, data[m.Path] = append(all.Modules, m), b
	}
	order, err := all.Order(wanted...)
	if err != nil {
		return nil, err
	}
	return modules(kmod.Index{Modules: order}, data)
}

// decompress has xz (Debian: xz-utils) replace each compressed file by its contents.
func decompress(ctx context.Context, staged []string) error {
	args := []string{"-d", "--"}
	for _, at := range staged {
		if at != plain(at) {
			args = append(args, at)
		}
	}
	if len(args) == 2 {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "xz", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("decompress the modules (Debian: apt-get install xz-utils): %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

func isPart(at string) bool {
	_, in, _ := strings.Cut(at, "/kernel/")
	for _, part := range parts() {
		if strings.HasPrefix(in, part) {
			return true
		}
	}
	return false
}

// modules is the archive of modules and their index.
func modules(index kmod.Index, data map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := cpio.NewWriter(&b, 0)
	for _, m := range index.Modules {
		if err := w.Add(cpio.Entry{Path: m.Path, Mode: 0o644, Data: data[m.Path]}); err != nil {
			return nil, err
		}
	}
	encoded, err := index.Encode()
	if err != nil {
		return nil, err
	}
	if err = w.Add(cpio.Entry{Path: indexFile, Mode: 0o644, Data: encoded}); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}
