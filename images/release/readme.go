package release

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed readme.tmpl
var readMeText string

// Ends of the names of images, after name and version.
const (
	RawZst        = ".raw.zst"
	QCOW2         = ".qcow2"
	VMDK          = ".vmdk"
	OVAVMware     = ".ova"
	OVAVirtualBox = "-virtualbox.ova"
	VHDX          = ".vhdx"
	VDI           = ".vdi"
	SBOM          = ".cdx.json"
	Update        = ".update"
	SecureBoot    = "-secureboot.tar"
)

// uses say what each file is for.
func uses() map[string]string {
	return map[string]string{
		OVAVMware:     "VMware ESXi and vCenter 6.5 or later: machine and disk",
		OVAVirtualBox: "VirtualBox: machine and disk",
		VHDX:          "Hyper-V: disk",
		QCOW2:         "KVM, Proxmox VE, Xen, Nutanix AHV: disk",
		VMDK:          "VMware: the disk alone",
		VDI:           "VirtualBox: the disk alone",
		RawZst:        "anything else, and physical disks: packed raw disk",
		SBOM:          "what is inside, for auditors and scanners (CycloneDX)",
		SecureBoot:    "keys for firmware with Secure Boot",
		Update:        "update of an appliance that runs (guide 9.4)",
	}
}

// page is what the ReadMe's template shows.
type page struct {
	Options
	Base   string
	Images []image
	Public string
}

// Has tells whether an image is in the release.
func (p page) Has(suffix string) bool {
	for _, i := range p.Images {
		if i.Name == p.Base+suffix {
			return true
		}
	}
	return false
}

func (o Options) readMe(images []image) ([]byte, error) {
	rule := func(text string) string { return text + "\n" + strings.Repeat("-", len(text)) }
	t, err := template.New(ReadMe).Funcs(template.FuncMap{"heading": rule}).Parse(readMeText)
	if err != nil {
		return nil, fmt.Errorf("read the template of %s: %w", ReadMe, err)
	}
	var out bytes.Buffer
	p := page{Options: o, Base: o.Name + "-" + o.Version, Images: images, Public: o.Key.Public().String()}
	if err := t.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("write %s: %w", ReadMe, err)
	}
	return out.Bytes(), nil
}
