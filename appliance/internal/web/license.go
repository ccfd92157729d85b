package web

import (
	"fmt"
	"strings"
)

// licenseData are the licences of what the appliance is made of.
type licenseData struct {
	Version      string
	Modules      []licensed
	Files        string // of the pages, by others
	Texts, Front string // of the licences of the two
}

// licensed is a Go module that is built in.
type licensed struct{ Name, Version, License string }

// license is Local Configuration > License Key. There is no key: nothing is for sale.
func (v *visit) license() error {
	d := licenseData{Version: v.opts.Version}
	var modules string
	for name, text := range map[string]*string{
		"licenses/modules.txt": &modules, "licenses/texts.txt": &d.Texts,
		"static/vendor/README.txt": &d.Files, "static/vendor/LICENSES.txt": &d.Front,
	} {
		data, err := embedded.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read the licences: %w", err)
		}
		*text = string(data)
	}
	for line := range strings.Lines(modules) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
			d.Modules = append(d.Modules, licensed{f[0], f[1], f[2]})
		}
	}
	return v.page("license", "License Key", d)
}
