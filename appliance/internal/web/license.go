package web

import "fmt"

// licenseData are the licences of what the appliance is made of.
type licenseData struct{ Texts, Files string }

// license is Local Configuration > License Key. There is no key: nothing is for sale.
func (v *visit) license() error {
	var d licenseData
	for name, text := range map[string]*string{"LICENSES.txt": &d.Texts, "README.txt": &d.Files} {
		data, err := embedded.ReadFile("static/vendor/" + name)
		if err != nil {
			return fmt.Errorf("read the licences: %w", err)
		}
		*text = string(data)
	}
	return v.page("license", "License Key", d)
}
