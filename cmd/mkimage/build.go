package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/images/console"
	"github.com/vosbed/vosbed/images/debian"
	"github.com/vosbed/vosbed/images/formats"
	"github.com/vosbed/vosbed/images/ova"
	"github.com/vosbed/vosbed/images/recipe"
	"github.com/vosbed/vosbed/images/release"
	"github.com/vosbed/vosbed/images/sbom"
	"github.com/vosbed/vosbed/images/secureboot"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
)

// Places in the repository.
const (
	lockFile  = "images/lock.json"
	outDir    = "out/images"
	cacheName = "vosbed"
	product   = "vosbed"
)

// epoch is the time of every file in an image.
func epoch() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "mkimage",
		Short:         "Build the appliance's disk image, without privileges, loop devices or mounts",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.AddCommand(buildCommand(), bootCommand(), verifyCommand(), relockCommand())
	return cmd
}

func buildCommand() *cobra.Command {
	var version, out string
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the image in every format",
		Long: "Build the image from the sources in this folder and from the Debian packages that " + lockFile + " pins.\n" +
			"It needs Debian's mkfs.vfat, mcopy, mke2fs, grub-mkimage and qemu-img (make image installs them).",
		Example: "  mkimage build\n  mkimage build --version 1.2.0 --out /tmp/images",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := ownKey()
			if err != nil {
				return err
			}
			trust, err := ownTrust()
			if err != nil {
				return err
			}
			return builder{version, out, key.Public(), trust, printer(cmd.OutOrStdout())}.build(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&version, "version", "0.1.0", "`version` of the image")
	cmd.Flags().StringVar(&out, "out", outDir, "`folder` for the images")
	return cmd
}

// printer reports progress to a person.
func printer(w io.Writer) func(string, ...any) {
	return func(format string, args ...any) { fmt.Fprintf(w, "  "+format+"\n", args...) }
}

// builder builds a release.
type builder struct {
	version, out string
	// public is the key that the image takes updates by.
	public minisign.PublicKey
	trust  recipe.Trust
	say    func(format string, args ...any)
}

func relockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "relock",
		Short: "Pin the newest versions of the Debian packages",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lock, err := debian.ReadLock(lockFile)
			if err != nil {
				return err
			}
			cache, err := packageCache()
			if err != nil {
				return err
			}
			fresh, err := cache.Relock(cmd.Context(), lock, map[string]string{"linux-image-6.12.": "linux-image-6.12-amd64"})
			if err != nil {
				return err
			}
			for _, p := range fresh.Packages {
				fmt.Fprintln(cmd.OutOrStdout(), " ", p)
			}
			return fresh.Write(lockFile)
		},
	}
}

func packageCache() (debian.Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return debian.Cache{}, fmt.Errorf("find the cache folder: %w", err)
	}
	return debian.Cache{Dir: filepath.Join(dir, cacheName, "debs")}, nil
}

// build makes every format in a folder of its own, and puts them in the place of the former
// ones when all are there.
func (b builder) build(ctx context.Context) error {
	begin := time.Now()
	work := b.out + ".work"
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("empty the folder of the build: %w", err)
	}
	disk, err := b.disk(ctx, work)
	if err != nil {
		return err
	}
	b.say("converting")
	made, err := formats.Make(ctx, disk.Disk)
	if err != nil {
		return err
	}
	if err := os.Remove(disk.Disk); err != nil { // 20 GiB of holes are for nobody
		return fmt.Errorf("remove the raw disk: %w", err)
	}
	if err := errors.Join(b.update(work, disk.System), b.keys(work, disk.Keys)); err != nil {
		return err
	}
	if err := b.describe(ctx, work, disk.Programs); err != nil {
		return err
	}
	if err := b.release(work); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(b.out), os.Rename(work, b.out)); err != nil {
		return fmt.Errorf("put the images in place: %w", err)
	}
	for _, f := range made {
		b.say("%-32s %6.1f MB", filepath.Base(f.Path), float64(f.Size)/1e6)
	}
	b.say("done in %s: %s", time.Since(begin).Round(100*time.Millisecond), b.out)
	return nil
}

// built is a disk and what is in it.
type built struct {
	Disk     string
	System   []byte
	Keys     map[string][]byte
	Programs []sbom.Program
}

func (b builder) disk(ctx context.Context, work string) (built, error) {
	lock, cache, err := inputs()
	if err != nil {
		return built{}, err
	}
	b.say("compiling")
	programs, err := compile(ctx, filepath.Join(work, "programs"))
	if err != nil {
		return built{}, err
	}
	result, err := recipe.Build(ctx, recipe.Options{
		Version: b.version, Lock: lock, Cache: cache, Programs: programs, PublicKey: b.public.File(), Trust: b.trust, Dir: work, Time: epoch(), Say: b.say,
	})
	return built{result.Disk, result.System, result.Keys, []sbom.Program{{Name: "lbd", Data: programs.Daemon}, {Name: "lbctl", Data: programs.Control}, {Name: "lbinit", Data: programs.Init}}}, err
}

// describe packs the virtual machines and the list of what is in them.
func (b builder) describe(ctx context.Context, work string, programs []sbom.Program) error {
	name := filepath.Join(work, product+"-"+b.version)
	for suffix, platform := range map[string]ova.Platform{release.OVAVMware: ova.VMware, release.OVAVirtualBox: ova.VirtualBox} {
		err := ova.Write(name+suffix, ova.Options{
			Platform: platform, Name: product, Version: b.version, Disk: name + release.VMDK, Capacity: recipe.DiskSize, Time: epoch(),
		})
		if err != nil {
			return err
		}
	}
	lock, cache, err := inputs()
	if err != nil {
		return err
	}
	packages, err := described(ctx, lock, cache)
	if err != nil {
		return err
	}
	bill, err := sbom.Make(sbom.Options{
		Name: product, Version: b.version, Time: epoch(), Licence: "Apache-2.0", Programs: programs, Packages: packages, ModuleCache: moduleCache(ctx),
	})
	if err != nil {
		return err
	}
	if err = os.WriteFile(name+release.SBOM, bill, 0o644); err != nil {
		return fmt.Errorf("write the bill of materials: %w", err)
	}
	return nil
}

// described are the packages with their licences.
func described(ctx context.Context, lock debian.Lock, cache debian.Cache) ([]sbom.Package, error) {
	var out []sbom.Package
	for _, p := range lock.Packages {
		deb, err := cache.Get(ctx, p)
		if err != nil {
			return nil, err
		}
		one := sbom.Package{Package: p}
		if !strings.HasPrefix(p.Name, "linux-image-") { // to unpack it takes seconds
			if one.Copyright, err = sbom.Copyright(ctx, deb, p.Name); err != nil {
				return nil, err
			}
		}
		out = append(out, one)
	}
	return out, nil
}

// moduleCache is where Go keeps modules, "" if it does not say.
func moduleCache(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// release signs the folder.
func (b builder) release(work string) error {
	key, err := ownKey()
	if err != nil {
		return err
	}
	return release.Write(work, release.Options{Name: product, Version: b.version, User: console.User, Key: key})
}

// ownKey is the key of one's own releases.
func ownKey() (minisign.SecretKey, error) {
	at, err := release.KeyPath()
	if err != nil {
		return minisign.SecretKey{}, err
	}
	return minisign.LoadOrCreate(at)
}

// update writes the archive of a software update (guide 9.4.2).
func (b builder) update(work string, system []byte) error {
	key, err := ownKey()
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(work, product+"-"+b.version+release.Update))
	if err != nil {
		return fmt.Errorf("write the update: %w", err)
	}
	return errors.Join(bundle.Write(f, b.version, system, key), f.Close())
}

// ownTrust are the keys for Secure Boot of one's own releases.
func ownTrust() (recipe.Trust, error) {
	at, err := release.KeyPath()
	if err != nil {
		return nil, err
	}
	return secureboot.LoadOrCreate(filepath.Join(filepath.Dir(at), "secureboot"))
}

// keys writes what a firmware takes the keys by.
func (b builder) keys(work string, files map[string][]byte) error {
	data, err := secureboot.Pack(files)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, product+"-"+b.version+release.SecureBoot), data, 0o644); err != nil {
		return fmt.Errorf("write the keys for Secure Boot: %w", err)
	}
	return nil
}

func inputs() (debian.Lock, debian.Cache, error) {
	lock, err := debian.ReadLock(lockFile)
	if err != nil {
		return lock, debian.Cache{}, err
	}
	cache, err := packageCache()
	return lock, cache, err
}

// compile builds our own programs: static, and the same bytes wherever it is done.
func compile(ctx context.Context, dir string) (recipe.Programs, error) {
	var p recipe.Programs
	for name, into := range map[string]*[]byte{"lbinit": &p.Init, "lbd": &p.Daemon, "lbctl": &p.Control} {
		at := filepath.Join(dir, name)
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w -buildid=", "-o", at, "./cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if text, err := cmd.CombinedOutput(); err != nil {
			return p, fmt.Errorf("compile %s: %w: %s", name, err, strings.TrimSpace(string(text)))
		}
		data, err := os.ReadFile(at)
		if err != nil {
			return p, fmt.Errorf("read %s: %w", name, err)
		}
		*into = data
	}
	return p, os.RemoveAll(dir)
}
