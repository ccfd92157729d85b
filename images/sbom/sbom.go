// Package sbom says what an image is made of, as CycloneDX 1.6: our programs and the Go
// modules in them, from what the compiler wrote into each (debug/buildinfo), and the
// pinned Debian packages. The same inputs give the same document: its serial number
// follows from its content, its time is that of the image.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/vosbed/vosbed/images/debian"
)

// Options say what the image holds.
type Options struct {
	Name, Version string // of the image
	Time          time.Time
	Licence       string // SPDX identifier of our own programs' licence
	Programs      []Program
	Packages      []Package
	// ModuleCache is where Go keeps the sources of modules (go env GOMODCACHE), from
	// which their licences are read. Empty: they stay unknown.
	ModuleCache string
}

// Program is one of our own.
type Program struct {
	Name string
	Data []byte // the executable
}

// Package is a Debian package of the image.
type Package struct {
	debian.Package
	Copyright []byte // its file of that name (see Copyright), nil = unknown
}

// builder gathers components, each once.
type builder struct {
	Options
	components map[string]cdx.Component
	needs      map[string][]string // what each is made of, by reference
}

// Make returns the document as JSON.
func Make(o Options) ([]byte, error) {
	b := &builder{Options: o, components: map[string]cdx.Component{}, needs: map[string][]string{}}
	var errs []error
	for _, p := range o.Programs {
		errs = append(errs, b.program(p))
	}
	for _, p := range o.Packages {
		b.debian(p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	bom := b.document()
	text, err := encode(bom)
	if err != nil {
		return nil, err
	}
	bom.SerialNumber = serial(text)
	return encode(bom)
}

// root is the reference of the image itself.
func (b *builder) root() string { return "image:" + b.Name + "@" + b.Version }

// add takes a component as a part of another.
func (b *builder) add(of string, c cdx.Component) {
	b.components[c.BOMRef] = c
	b.needs[of] = append(b.needs[of], c.BOMRef)
}

func (b *builder) document() *cdx.BOM {
	bom := cdx.NewBOM()
	image := cdx.Component{BOMRef: b.root(), Type: cdx.ComponentTypeFirmware, Name: b.Name, Version: b.Version, Licenses: licences(b.Licence)}
	bom.Metadata = &cdx.Metadata{
		Timestamp: b.Time.UTC().Format(time.RFC3339),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "mkimage", Version: b.Version}}},
		Component: &image,
	}
	components := []cdx.Component{}
	dependencies := []cdx.Dependency{b.dependency(b.root())}
	for _, ref := range slices.Sorted(maps.Keys(b.components)) {
		components = append(components, b.components[ref])
		dependencies = append(dependencies, b.dependency(ref))
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	return bom
}

func (b *builder) dependency(ref string) cdx.Dependency {
	d := cdx.Dependency{Ref: ref}
	if needs := slices.Compact(slices.Sorted(slices.Values(b.needs[ref]))); len(needs) > 0 {
		d.Dependencies = &needs
	}
	return d
}

func encode(bom *cdx.BOM) ([]byte, error) {
	var out bytes.Buffer
	e := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	if err := e.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("encode the SBOM: %w", err)
	}
	return out.Bytes(), nil
}

// serial is a UUID of version 8 (RFC 9562) made of the content.
func serial(text []byte) string {
	sum := sha256.Sum256(text)
	u := sum[:16]
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// sha is a checksum of a file.
func sha(hex string) *[]cdx.Hash {
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex}}
}
