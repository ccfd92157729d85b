package sbom

import (
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// maxLicence bounds what is read of a licence, in bytes.
const maxLicence = 256 << 10

// licences writes names as CycloneDX wants them: identifiers of SPDX apart from others.
func licences(names ...string) *cdx.Licenses {
	var out cdx.Licenses
	for _, n := range names {
		switch {
		case n == "":
		case isSPDX(n):
			out = append(out, cdx.LicenseChoice{License: &cdx.License{ID: n}})
		default:
			out = append(out, cdx.LicenseChoice{License: &cdx.License{Name: n}})
		}
	}
	if len(out) == 0 {
		return nil
	}
	return &out
}

// debianNames are Debian's names of licences with their identifiers.
func debianNames() map[string]string {
	return map[string]string{
		"GPL-1": "GPL-1.0-only", "GPL-1+": "GPL-1.0-or-later",
		"GPL-2": "GPL-2.0-only", "GPL-2+": "GPL-2.0-or-later",
		"GPL-3": "GPL-3.0-only", "GPL-3+": "GPL-3.0-or-later",
		"LGPL-2": "LGPL-2.0-only", "LGPL-2+": "LGPL-2.0-or-later",
		"LGPL-2.1": "LGPL-2.1-only", "LGPL-2.1+": "LGPL-2.1-or-later",
		"LGPL-3": "LGPL-3.0-only", "LGPL-3+": "LGPL-3.0-or-later",
		"BSD-2-clause": "BSD-2-Clause", "BSD-3-clause": "BSD-3-Clause", "BSD-4-clause": "BSD-4-Clause",
		"Expat": "MIT", "ISC": "ISC", "Apache-2.0": "Apache-2.0", "CC0-1.0": "CC0-1.0",
		"Zlib": "Zlib", "MPL-2.0": "MPL-2.0",
	}
}

// spdx is the identifier of a licence that Debian names, or that name.
func spdx(name string) string {
	if id, ok := debianNames()[name]; ok {
		return id
	}
	return name
}

func isSPDX(name string) bool {
	for _, id := range debianNames() {
		if id == name {
			return true
		}
	}
	return false
}

// moduleLicences are those whose text lies in a module's root.
func (b *builder) moduleLicences(m debug.Module) []string {
	if b.ModuleCache == "" || !filepath.IsLocal(m.Path) {
		return nil
	}
	dir := filepath.Join(b.ModuleCache, escaped(m.Path)+"@"+escaped(m.Version))
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, f := range files {
		switch strings.ToLower(strings.TrimSuffix(f.Name(), filepath.Ext(f.Name()))) {
		case "license", "licence", "copying":
			if found := recognised(bounded(filepath.Join(dir, f.Name()))); len(found) > 0 {
				return found
			}
		}
	}
	return nil
}

// bounded is the beginning of a text, empty if it cannot be read.
func bounded(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxLicence))
	if err != nil {
		return ""
	}
	return string(text)
}

// escaped is a path as the module cache writes it: capitals are small behind a mark.
func escaped(path string) string {
	var out strings.Builder
	for _, c := range path {
		if c >= 'A' && c <= 'Z' {
			out.WriteRune('!')
			c += 'a' - 'A'
		}
		out.WriteRune(c)
	}
	return out.String()
}

// recognised are the licences that a text contains, told by sentences that each has alone.
func recognised(text string) []string {
	text = strings.Join(strings.Fields(text), " ")
	has := func(sentence string) bool { return strings.Contains(text, sentence) }
	var out []string
	if has("Apache License") && has("Version 2.0") {
		out = append(out, "Apache-2.0")
	}
	if has("Redistribution and use in source and binary forms") {
		if has("Neither the name") || has("may not be used to endorse or promote") || has("be used to endorse or promote products") {
			out = append(out, "BSD-3-Clause")
		} else {
			out = append(out, "BSD-2-Clause")
		}
	}
	if has("ermission to use, copy, modify, and/or distribute this software") || has("ermission to use, copy, modify, and distribute this software") {
		out = append(out, "ISC")
	}
	if has("Permission is hereby granted, free of charge") {
		out = append(out, "MIT")
	}
	if has("Mozilla Public License Version 2.0") || has("Mozilla Public License, version 2.0") {
		out = append(out, "MPL-2.0")
	}
	return out
}
