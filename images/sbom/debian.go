package sbom

import (
	"context"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/vosbed/vosbed/images/debian"
)

// distribution is whose packages they are.
const distribution = "debian-12"

// kernelPrefix begins the names of packages with a kernel.
const kernelPrefix = "linux-image-"

// debian adds a Debian package.
func (b *builder) debian(p Package) {
	url := "pkg:deb/debian/" + percent(p.Name) + "@" + percent(p.Version) + "?arch=" + percent(p.Arch) + "&distro=" + distribution
	kind := cdx.ComponentTypeLibrary
	if strings.HasPrefix(p.Name, kernelPrefix) {
		kind = cdx.ComponentTypeOS
	}
	b.add(b.root(), cdx.Component{
		BOMRef: url, Type: kind, Name: p.Name, Version: p.Version, Hashes: sha(p.SHA256),
		Licenses: licences(debianLicences(p)...), PackageURL: url,
	})
}

// Copyright reads the copyright file of a package: nil if it is in another package.
func Copyright(ctx context.Context, deb, name string) ([]byte, error) {
	var text []byte
	want := "/usr/share/doc/" + name + "/copyright"
	err := debian.Files(ctx, deb, func(path string) bool { return path == want }, func(f debian.File) error {
		text = f.Data
		return nil
	})
	return text, err
}

// debianLicences are those that a package's copyright file names, if a machine can read it
// (Debian's copyright format 1.0), else what is known of the package.
func debianLicences(p Package) []string {
	var out []string
	for line := range strings.Lines(string(p.Copyright)) {
		if name, ok := strings.CutPrefix(line, "License:"); ok && strings.TrimSpace(name) != "" {
			out = append(out, spdx(strings.TrimSpace(name)))
		}
	}
	if !strings.HasPrefix(string(p.Copyright), "Format:") || len(out) == 0 {
		return knownLicences(p.Name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// knownLicences are those of packages that say it in prose, or in another package.
func knownLicences(name string) []string {
	switch {
	case strings.HasPrefix(name, kernelPrefix):
		return []string{"GPL-2.0-only"}
	case strings.HasPrefix(name, "busybox"):
		return []string{"GPL-2.0-only"}
	case strings.HasPrefix(name, "grub-"):
		return []string{"GPL-3.0-or-later"}
	case name == "tzdata":
		return []string{"public-domain"}
	}
	return nil
}
