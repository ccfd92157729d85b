package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Package is one pinned package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	SHA256  string `json:"sha256"` // of the .deb
}

// String returns name=version.
func (p Package) String() string { return p.Name + "=" + p.Version }

// file is the name under which apt-get stores it.
func (p Package) file() string {
	return p.Name + "_" + strings.ReplaceAll(p.Version, ":", "%3a") + "_" + p.Arch + ".deb"
}

// Lock is every package that an image is made of.
type Lock struct {
	Packages []Package `json:"packages"`
}

// ReadLock reads a lock. Unknown keys are mistakes.
func ReadLock(path string) (Lock, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Lock{}, fmt.Errorf("read the lock of packages: %w", err)
	}
	return ParseLock(path, data)
}

// ParseLock reads the lock that a file of that name holds.
func ParseLock(path string, data []byte) (Lock, error) {
	var l Lock
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return Lock{}, fmt.Errorf("read %s: %w", path, err)
	}
	for _, p := range l.Packages {
		if p.Name == "" || p.Version == "" || p.Arch == "" || len(p.SHA256) != 2*sha256.Size {
			return Lock{}, fmt.Errorf("%s: %q lacks its version, architecture or sum: make relock writes them", path, p.Name)
		}
	}
	return l, nil
}

// Write writes the lock.
func (l Lock) Write(path string) error {
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the lock of packages: %w", err)
	}
	if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the lock of packages: %w", err)
	}
	return nil
}

// Find returns the package of that name, or of the names that begin with it when it ends
// with a dash: a kernel's name has its version.
func (l Lock) Find(name string) (Package, error) {
	i := slices.IndexFunc(l.Packages, func(p Package) bool {
		return p.Name == name || strings.HasSuffix(name, "-") && strings.HasPrefix(p.Name, name)
	})
	if i < 0 {
		return Package{}, fmt.Errorf("no package %s is pinned: add it to the lock and run make relock", name)
	}
	return l.Packages[i], nil
}

// Cache keeps the files of packages.
type Cache struct{ Dir string }

// Get returns the path of a package's file, fetching it if it is not there yet.
func (c Cache) Get(ctx context.Context, p Package) (string, error) {
	path := filepath.Join(c.Dir, p.file())
	if sum, err := Sum(path); err == nil && sum == p.SHA256 {
		return path, nil
	}
	if err := c.fetch(ctx, p); err != nil {
		return "", err
	}
	sum, err := Sum(path)
	if err != nil {
		return "", err
	}
	if sum != p.SHA256 {
		_ = os.Remove(path)
		return "", fmt.Errorf("%s is not the package that is pinned: its SHA-256 is %s, not %s", p, sum, p.SHA256)
	}
	return path, nil
}

// fetch has apt-get download a package into the cache.
func (c Cache) fetch(ctx context.Context, p Package) error {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return fmt.Errorf("make the package cache: %w", err)
	}
	cmd := exec.CommandContext(ctx, "apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", p.Name+":"+p.Arch+"="+p.Version)
	cmd.Dir = c.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch %s: %w: %s (if Debian has dropped this version: apt-get update, then make relock)", p, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Sum is the SHA-256 of a file, in hexadecimal.
func Sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open a package: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read a package: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Relock returns the lock with the newest versions that apt knows. A name that ends with
// a dash is a kernel's: meta is the package whose dependency names the present one.
func (c Cache) Relock(ctx context.Context, l Lock, kernels map[string]string) (Lock, error) {
	var out Lock
	var errs []error
	for _, p := range l.Packages {
		for prefix, meta := range kernels {
			if strings.HasPrefix(p.Name, prefix) {
				name, err := dependency(ctx, meta, prefix)
				errs = append(errs, err)
				p.Name = name
			}
		}
		fresh, err := c.newest(ctx, p)
		errs = append(errs, err)
		out.Packages = append(out.Packages, fresh)
	}
	return out, errors.Join(errs...)
}

// newest fetches the candidate version of a package and takes its sum.
func (c Cache) newest(ctx context.Context, p Package) (Package, error) {
	version, err := field(ctx, p.Name+":"+p.Arch, "Version")
	if err != nil {
		return p, err
	}
	p.Version = version
	if err = c.fetch(ctx, p); err != nil {
		return p, err
	}
	p.SHA256, err = Sum(filepath.Join(c.Dir, p.file()))
	return p, err
}

// dependency is the package with that prefix that a package depends on.
func dependency(ctx context.Context, name, prefix string) (string, error) {
	depends, err := field(ctx, name, "Depends")
	if err != nil {
		return "", err
	}
	for one := range strings.SplitSeq(depends, ",") {
		if dep, _, _ := strings.Cut(strings.TrimSpace(one), " "); strings.HasPrefix(dep, prefix) {
			return dep, nil
		}
	}
	return "", fmt.Errorf("%s depends on nothing that begins with %s, but on %q", name, prefix, depends)
}

// field is a field of the candidate version of a package.
func field(ctx context.Context, name, key string) (string, error) {
	out, err := exec.CommandContext(ctx, "apt-cache", "show", "--no-all-versions", name).Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for %s (apt-get update first?): %w", name, err)
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(line, key+": "); ok {
			return strings.TrimSpace(v), nil
		}
	}
	return "", fmt.Errorf("apt knows no %s of %s", key, name)
}
