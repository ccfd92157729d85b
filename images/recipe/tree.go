package recipe

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/vosbed/vosbed/images/cpio"
	"github.com/vosbed/vosbed/images/debian"
	"github.com/vosbed/vosbed/images/guest"
	"github.com/vosbed/vosbed/images/kernel"
	"github.com/vosbed/vosbed/images/kmod"
)

// tree is the files of the system.
type tree struct{ entries map[string]cpio.Entry }

func (t *tree) file(at string, mode fs.FileMode, data []byte) {
	t.entries[at] = cpio.Entry{Path: at, Mode: mode, Data: data}
}

func (t *tree) link(at, to string) {
	t.entries[at] = cpio.Entry{Path: at, Mode: fs.ModeSymlink | 0o777, Data: []byte(to)}
}

// Programs are our own, as built.
type Programs struct{ Init, Daemon, Control []byte }

func newTree() *tree { return &tree{map[string]cpio.Entry{}} }

// files gathers the system: what is there from the start, and what is unpacked as soon as
// the appliance serves. To read and unpack it before takes a virtual machine seconds.
func (b *builder) files(ctx context.Context, p Programs, k *kernel.Kernel) (early, later *tree, err error) {
	early, later = newTree(), newTree()
	later.file("/usr/bin/lbctl", 0o755, p.Control)
	if err = b.programs(ctx, later); err != nil {
		return nil, nil, err
	}
	return early, later, errors.Join(b.earlyFiles(ctx, early, p), modules(k, early, later))
}

func (b *builder) earlyFiles(ctx context.Context, t *tree, p Programs) error {
	t.file("/init", 0o755, p.Init)
	t.link(guest.Modprobe, "/init")
	t.file("/usr/sbin/lbd", 0o755, p.Daemon)
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/tmp", "/var/lib/vosbed", "/root", "/mnt"} {
		t.entries[dir] = cpio.Entry{Path: dir, Mode: fs.ModeDir | 0o755}
	}
	t.entries["/dev/console"] = cpio.Entry{Path: "/dev/console", Mode: fs.ModeCharDevice | 0o600, Major: 5, Minor: 1}
	for at, text := range etc(b.Version) {
		t.file(at, 0o644, []byte(text))
	}
	if b.PublicKey != nil {
		t.file(releaseKey, 0o644, b.PublicKey)
	}
	return errors.Join(b.busybox(ctx, t), b.zones(ctx, t))
}

// releaseKey is where the daemon looks for the key that updates are verified with.
const releaseKey = "/etc/vosbed/release.pub"

// etc are the texts that programs look for.
func etc(version string) map[string]string {
	return map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n" +
			"sshd:x:991:991:sshd:/run/sshd:/usr/sbin/nologin\n" +
			"vosbed-web:x:990:990:web pages:/nonexistent:/usr/sbin/nologin\n" +
			"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"/etc/group":         "root:x:0:\nsshd:x:991:\nvosbed-web:x:990:\nnogroup:x:65534:\n",
		"/etc/hosts":         "127.0.0.1 localhost\n::1 localhost\n",
		"/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"/etc/os-release":    fmt.Sprintf("NAME=vosbed\nID=vosbed\nVERSION_ID=%s\nPRETTY_NAME=\"vosbed %s\"\n", version, version),
	}
}

// modules puts the kernel's modules and their index into the system.
func modules(k *kernel.Kernel, early, later *tree) error {
	index, files, err := k.Modules(slices.Concat(hardware(), system(), rare())...)
	if err != nil {
		return err
	}
	data, err := index.Encode()
	if err != nil {
		return err
	}
	first, _, err := k.Modules(slices.Concat(hardware(), system())...)
	if err != nil {
		return err
	}
	early.file(guest.IndexFile, 0o644, data)
	for _, m := range index.Modules {
		t := later
		if slices.ContainsFunc(first.Modules, func(one kmod.Module) bool { return one.Name == m.Name }) {
			t = early
		}
		t.file(m.Path, 0o644, files[m.Path])
	}
	return nil
}

// applets are the commands that a person at the console finds.
func applets() []string {
	return strings.Fields("sh ls cat cp mv rm mkdir rmdir ln ps top free df du mount umount dmesg ip ping ping6 route ifconfig arp " +
		"netstat grep sed awk less more vi head tail wc sort uniq find xargs tar gzip gunzip date uptime kill hostname id env echo printf " +
		"sleep nslookup wget nc hexdump sha256sum md5sum stty reset clear which true false test chmod chown touch sync")
}

func (b *builder) busybox(ctx context.Context, t *tree) error {
	deb, err := b.deb(ctx, "busybox-static")
	if err != nil {
		return err
	}
	program, err := debian.One(ctx, deb, func(p string) bool { return path.Base(p) == "busybox" && path.Base(path.Dir(p)) == "bin" })
	if err != nil {
		return err
	}
	t.file("/bin/busybox", 0o755, program.Data)
	for _, name := range applets() {
		t.link("/bin/"+name, "busybox")
	}
	return nil
}

// zones are the time zones.
func (b *builder) zones(ctx context.Context, t *tree) error {
	deb, err := b.deb(ctx, "tzdata")
	if err != nil {
		return err
	}
	const root = "/usr/share/zoneinfo/"
	want := func(p string) bool {
		return strings.HasPrefix(p, root) && !strings.HasPrefix(p, root+"right/") && !strings.HasPrefix(p, root+"posix/")
	}
	return debian.Files(ctx, deb, want, func(f debian.File) error {
		t.file(f.Path, 0o644, f.Data)
		return nil
	})
}

// pack makes the initial RAM file system.
func (t *tree) pack(time int64) ([]byte, error) {
	var plain bytes.Buffer
	w := cpio.NewWriter(&plain, time)
	for _, at := range slices.Sorted(maps.Keys(t.entries)) {
		if err := w.Add(t.entries[at]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return compress(plain.Bytes())
}

// archive makes the part that is unpacked later (tar(5), as package guest reads it).
func (t *tree) archive(time time.Time) ([]byte, error) {
	var plain bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, at := range slices.Sorted(maps.Keys(t.entries)) {
		e := t.entries[at]
		head := &tar.Header{Name: strings.TrimPrefix(at, "/"), Mode: int64(e.Mode.Perm()), Size: int64(len(e.Data)), ModTime: time, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(head); err != nil {
			return nil, fmt.Errorf("pack %s: %w", at, err)
		}
		if _, err := w.Write(e.Data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", at, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack the later part of the system: %w", err)
	}
	return compress(plain.Bytes())
}

func compress(plain []byte) ([]byte, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("compress the system: %w", err)
	}
	return z.EncodeAll(plain, nil), nil
}
