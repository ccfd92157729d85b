package sbom

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/vosbed/vosbed/images/debian"
)

// program builds one of our own.
func program(t *testing.T) []byte {
	t.Helper()
	at := filepath.Join(t.TempDir(), "lbctl")
	goTool(t, "build", "-trimpath", "-ldflags=-s -w", "-o", at, "github.com/vosbed/vosbed/cmd/lbctl")
	data, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// goTool asks go.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func options(t *testing.T) Options {
	t.Helper()
	program := program(t)
	return Options{
		Name: "vosbed", Version: "1.2.3", Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Licence: "Apache-2.0",
		Programs: []Program{{"lbd", program}, {"lbinit", program}},
		Packages: []Package{
			{debian.Package{Name: "linux-image-6.1.0-56-amd64", Version: "6.1.192-2", Arch: "amd64", SHA256: strings.Repeat("0a", 32)}, []byte("Format: x\n\nLicense: GPL-2\nLicense: Unicode-data\n")},
			{debian.Package{Name: "busybox-static", Version: "1:1.35.0-4+deb12u1~b1", Arch: "amd64", SHA256: strings.Repeat("1b", 32)}, []byte("prose\nLicense:\n")},
		},
		ModuleCache: goTool(t, "env", "GOMODCACHE"),
	}
}

func made(t *testing.T, o Options) ([]byte, cdx.BOM) {
	t.Helper()
	text, err := Make(o)
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	return text, bom
}

func TestMake(t *testing.T) {
	t.Parallel()
	o := options(t)
	for name, test := range map[string]func(*testing.T, Options){
		"twice": testTwice, "schema": testSchema, "references": testReferences, "components": testComponents, "modules": testModules,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, o)
		})
	}
}

func testTwice(t *testing.T, o Options) {
	t.Helper()
	first, bom := made(t, o)
	second, _ := made(t, o)
	if !bytes.Equal(first, second) {
		t.Error("the second run gave other bytes")
	}
	o.Version = "1.2.4"
	if _, other := made(t, o); other.SerialNumber == bom.SerialNumber {
		t.Error("another image has the same serial number")
	}
}

// testSchema validates against the schema that CycloneDX publishes, which the library's
// sources have.
func testSchema(t *testing.T, o Options) {
	t.Helper()
	dir := filepath.Join(goTool(t, "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go"), "schema")
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for _, name := range []string{"bom-1.6.schema.json", "spdx.schema.json", "jsf-0.82.schemax.json"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		if err := c.AddResource("http://cyclonedx.org/schema/"+strings.Replace(name, "schemax", "schema", 1), document); err != nil {
			t.Fatal(err)
		}
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := made(t, o)
	validate := func(text []byte) error {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return schema.Validate(document)
	}
	if err := validate(text); err != nil {
		t.Error(err)
	}
	if validate(bytes.Replace(text, []byte(`"firmware"`), []byte(`"hardware"`), 1)) == nil {
		t.Error("the schema refuses nothing")
	}
}

// testReferences: what depends on what is named once, and is there.
func testReferences(t *testing.T, o Options) {
	t.Helper()
	_, bom := made(t, o)
	there := map[string]bool{bom.Metadata.Component.BOMRef: true}
	for _, c := range *bom.Components {
		if there[c.BOMRef] {
			t.Errorf("%s is there twice", c.BOMRef)
		}
		there[c.BOMRef] = true
	}
	needed := map[string]bool{bom.Metadata.Component.BOMRef: true}
	for _, d := range *bom.Dependencies {
		if !there[d.Ref] {
			t.Errorf("%s is not there", d.Ref)
		}
		if d.Dependencies == nil {
			continue
		}
		for _, n := range *d.Dependencies {
			if !there[n] {
				t.Errorf("%s needs %s, which is not there", d.Ref, n)
			}
			needed[n] = true
		}
	}
	for ref := range there {
		if !needed[ref] {
			t.Errorf("nothing needs %s", ref)
		}
	}
}

func found(t *testing.T, bom cdx.BOM, name string) cdx.Component {
	t.Helper()
	for _, c := range *bom.Components {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no component %s", name)
	return cdx.Component{}
}

func shown(c cdx.Component) string {
	text := fmt.Sprint(c.Type, " ", c.PackageURL)
	if c.Hashes != nil {
		text += " " + (*c.Hashes)[0].Value[:4]
	}
	if c.Licenses != nil {
		for _, l := range *c.Licenses {
			text += fmt.Sprintf(" id=%s name=%s", l.License.ID, l.License.Name)
		}
	}
	return text
}

func testComponents(t *testing.T, o Options) {
	t.Helper()
	_, bom := made(t, o)
	for name, want := range map[string]string{
		"linux-image-6.1.0-56-amd64": "operating-system pkg:deb/debian/linux-image-6.1.0-56-amd64@6.1.192-2?arch=amd64&distro=debian-12 0a0a id=GPL-2.0-only name= id= name=Unicode-data",
		"busybox-static":             "library pkg:deb/debian/busybox-static@1:1.35.0-4%2Bdeb12u1~b1?arch=amd64&distro=debian-12 1b1b id=GPL-2.0-only name=",
	} {
		if diff := cmp.Diff(want, shown(found(t, bom, name))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	program := found(t, bom, "lbd")
	if got := shown(program); !strings.HasPrefix(got, "application pkg:golang/github.com/vosbed/vosbed@1.2.3#cmd/lbctl") || !strings.HasSuffix(got, " id=Apache-2.0 name=") {
		t.Errorf("program %s", got)
	}
	if got := shown(found(t, bom, "std")); !strings.HasPrefix(got, "library pkg:golang/std@1.") || !strings.HasSuffix(got, "id=BSD-3-Clause name=") {
		t.Errorf("standard library %s", got)
	}
}

func testModules(t *testing.T, o Options) {
	t.Helper()
	_, bom := made(t, o)
	c := found(t, bom, "github.com/spf13/cobra")
	if got := shown(c); got != "library pkg:golang/github.com/spf13/cobra@"+c.Version+" id=Apache-2.0 name=" {
		t.Errorf("module %s", got)
	}
	if p := (*c.Properties)[0]; p.Name != sumProperty || !strings.HasPrefix(p.Value, "h1:") {
		t.Errorf("sum %+v", p)
	}
	for _, c := range *bom.Components {
		if strings.HasPrefix(c.PackageURL, "pkg:golang/") && c.Licenses == nil {
			t.Errorf("the licence of %s is not recognised", c.Name)
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	t.Parallel()
	if _, err := Make(Options{Programs: []Program{{"one", []byte("#!")}, {"two", nil}}}); err == nil || !strings.Contains(err.Error(), "one") || !strings.Contains(err.Error(), "two") {
		t.Errorf("programs that are none: %v", err)
	}
}

// TestLicencesOfOurModules: what the image's programs need is all recognised.
func TestLicencesOfOurModules(t *testing.T) {
	t.Parallel()
	b := &builder{Options: Options{ModuleCache: goTool(t, "env", "GOMODCACHE")}}
	modules := goTool(t, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}", "github.com/vosbed/vosbed/cmd/lbd", "github.com/vosbed/vosbed/cmd/lbctl")
	for line := range strings.Lines(modules) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		if len(b.moduleLicences(debug.Module{Path: path, Version: version})) == 0 {
			t.Errorf("no licence of %s %s is recognised", path, version)
		}
	}
}

func TestRecognised(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Redistribution and use in\n source and binary forms":                       "BSD-2-Clause",
		"Redistribution and use in source and binary forms. Neither the name of":    "BSD-3-Clause",
		"Permission is hereby granted, free of charge\nApache License\nVersion 2.0": "Apache-2.0 MIT",
		"Permission to use, copy, modify, and distribute this software":             "ISC",
		"Mozilla Public License Version 2.0":                                        "MPL-2.0",
		"All rights reserved":                                                       "",
	} {
		if got := strings.Join(recognised(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestEscaped(t *testing.T) {
	t.Parallel()
	if got := escaped("github.com/CycloneDX/x"); got != "github.com/!cyclone!d!x/x" {
		t.Errorf("got %q", got)
	}
	b := &builder{Options: Options{ModuleCache: t.TempDir()}}
	if got := b.moduleLicences(debug.Module{Path: "../../etc", Version: "v1"}); got != nil {
		t.Errorf("a path out of the cache: %v", got)
	}
}
