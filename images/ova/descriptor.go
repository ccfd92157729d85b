package ova

import (
	"bytes"
	_ "embed"
	"encoding/xml"
	"fmt"
	"text/template"

	"github.com/vosbed/vosbed/images/ovfenv"
)

//go:embed descriptor.ovf
var descriptorText string

// The machine of guide 9.1.
const (
	cpus     = 2
	memory   = 4096 // MiB
	adapters = 4
)

// Instances of the hardware, and where VMware puts the first network adapter on its bus.
const (
	firstAdapter = 5
	firstSlot    = 7
)

// machine is what the template shows.
type machine struct {
	Options
	DiskFile   string
	DiskSize   int64
	CPUs       int
	Memory     int
	System     string // hardware family
	OSType     string // of VMware; "" = the number of the operating system is enough
	Controller controller
	Adapters   []adapter
	Networks   []network
	Properties []ovfenv.Property // handed over on a disc in a CD-ROM drive
	// Drive and Disc are the instances of that drive's controller and of the drive.
	Drive, Disc int
	// Settings are VMware's beyond the standard.
	Settings map[string]string
}

type controller struct {
	Type    int // ResourceType of CIM: 6 = parallel SCSI, 20 = other storage (SATA)
	SubType string
	Name    string
}

type network struct{ Name, Description string }

type adapter struct {
	Name, Network, SubType string
	Instance, Slot         int
	Connected              bool
}

// descriptor is the OVF document.
func descriptor(o Options, size int64) ([]byte, error) {
	m := machine{Options: o, DiskFile: o.disk(), DiskSize: size, CPUs: cpus, Memory: memory, Drive: firstAdapter + adapters, Disc: firstAdapter + adapters + 1}
	switch o.Platform {
	case VMware:
		m.vmware()
	case VirtualBox:
		m.virtualBox()
	}
	t, err := template.New("ovf").Funcs(template.FuncMap{"x": escape}).Parse(descriptorText)
	if err != nil {
		return nil, fmt.Errorf("read the OVF template: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, m); err != nil {
		return nil, fmt.Errorf("write the OVF descriptor: %w", err)
	}
	return out.Bytes(), nil
}

// vmware: ESXi 6.5 and later. Each adapter has a network of its own, so that the form
// asks for each; only eth0 is connected (guide 9.1).
func (m *machine) vmware() {
	m.System, m.OSType = "vmx-13", "debian10_64Guest"
	m.Controller = controller{6, "VirtualSCSI", "SCSI controller 0"}
	m.Properties = ovfenv.Properties()
	// Secure Boot asks for the appliance's own keys in the firmware first.
	m.Settings = map[string]string{"firmware": "efi", "bootOptions.efiSecureBootEnabled": "false"}
	for i := range adapters {
		name := fmt.Sprintf("eth%d", i)
		m.Networks = append(m.Networks, network{name, "The network of the appliance's " + name + "."})
		m.adapter(name, "VmxNet3", i == 0)
	}
}

// virtualBox: a network's name says how an adapter is attached. "Null" is: not at all.
func (m *machine) virtualBox() {
	m.System = "virtualbox-2.2"
	m.Controller = controller{20, "AHCI", "SATA controller 0"}
	m.Networks = []network{{"Bridged", "A network card of the host."}, {"Null", "Not attached."}}
	for i := range adapters {
		name := "Null"
		if i == 0 {
			name = "Bridged"
		}
		m.adapter(name, "E1000", i == 0)
	}
}

func (m *machine) adapter(network, subType string, connected bool) {
	i := len(m.Adapters)
	m.Adapters = append(m.Adapters, adapter{
		Name: fmt.Sprintf("eth%d", i), Network: network, SubType: subType, Connected: connected,
		Instance: firstAdapter + i, Slot: firstSlot + i,
	})
}

// escape writes text into XML.
func escape(text string) (string, error) {
	var out bytes.Buffer
	err := xml.EscapeText(&out, []byte(text))
	return out.String(), err
}
