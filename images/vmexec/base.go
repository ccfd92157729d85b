package vmexec

import (
	"bytes"
	"context"
	_ "embed" // the lock
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/images/cpio"
	"github.com/vosbed/vosbed/images/debian"
	"github.com/vosbed/vosbed/images/kernel"
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
	k, err := kernel.Unpack(ctx, deb, stage, func(string) bool { return true })
	if err != nil {
		return err
	}
	index, files, err := k.Modules(k.Names(isPart)...)
	if err != nil {
		return err
	}
	archive, err := modules(index, files)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(to.kernel, k.Image, 0o644); err != nil {
		return err
	}
	return atomicfile.Write(to.archive, archive, 0o644)
}

// isPart says whether a place in the kernel's tree is one of the parts.
func isPart(place string) bool {
	return slices.ContainsFunc(parts(), func(part string) bool { return strings.HasPrefix(place, part) })
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
