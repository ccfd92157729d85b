package sbom

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"fmt"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sumProperty has the sum of a module as go.sum has it: of a list of its files, not of one file.
const sumProperty = "vosbed:go.sum"

// standardLicence is that of Go and its library.
const standardLicence = "BSD-3-Clause"

// program adds a program, its modules and the standard library.
func (b *builder) program(p Program) error {
	info, err := buildinfo.Read(bytes.NewReader(p.Data))
	if err != nil {
		return fmt.Errorf("read the build information of %s: %w", p.Name, err)
	}
	ref := "program:" + p.Name
	b.add(b.root(), cdx.Component{
		BOMRef: ref, Type: cdx.ComponentTypeApplication, Name: p.Name, Version: b.Version,
		Hashes: sha(fmt.Sprintf("%x", sha256.Sum256(p.Data))), Licenses: licences(b.Licence),
		PackageURL: golangURL(info.Main.Path, b.Version) + "#" + strings.TrimPrefix(strings.TrimPrefix(info.Path, info.Main.Path), "/"),
	})
	toolchain, _, _ := strings.Cut(strings.TrimPrefix(info.GoVersion, "go"), " ")
	b.add(ref, cdx.Component{
		BOMRef: golangURL("std", toolchain), Type: cdx.ComponentTypeLibrary, Name: "std", Version: toolchain,
		Licenses: licences(standardLicence), PackageURL: golangURL("std", toolchain),
	})
	for _, m := range info.Deps {
		b.add(ref, b.module(*cmp.Or(m.Replace, m)))
	}
	return nil
}

func (b *builder) module(m debug.Module) cdx.Component {
	url := golangURL(m.Path, m.Version)
	c := cdx.Component{
		BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version,
		Licenses: licences(b.moduleLicences(m)...), PackageURL: url,
	}
	if m.Sum != "" {
		c.Properties = &[]cdx.Property{{Name: sumProperty, Value: m.Sum}}
	}
	return c
}

// golangURL is the package URL of a module (purl specification, type golang).
func golangURL(path, version string) string {
	parts := strings.Split(strings.ToLower(path), "/")
	for i := range parts {
		parts[i] = percent(parts[i])
	}
	return "pkg:golang/" + strings.Join(parts, "/") + "@" + percent(version)
}

// percent encodes all but the letters, digits and marks that a package URL leaves alone.
func percent(text string) string {
	var out strings.Builder
	for _, c := range []byte(text) {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~:", c) >= 0
		if plain {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}
