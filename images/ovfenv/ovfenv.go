// Package ovfenv says which properties a person may set while deploying the appliance on
// VMware, and reads them in the guest (OVF 1.1, DSP0243, sections 9.5 and 11). They do what
// the console's wizard asks for (guide 9.2), unattended. They come on a disc in the CD-ROM
// drive, which needs no program of VMware's in the guest.
package ovfenv

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// File is the name of the environment in the root of the disc (DSP0243, 11.2).
const File = "ovf-env.xml"

// Keys of the properties.
const (
	Hostname = "hostname"
	VLAN     = "vlan"
	Address  = "address"
	Gateway  = "gateway"
	DNS      = "dns"
	Zone     = "zone"
	NTP      = "ntp"
	Password = "password"
)

// maxEnvironment bounds what is read, in bytes.
const maxEnvironment = 256 << 10

// Property is one question of the deployment's form.
type Property struct {
	Key, Label, Description string
	Default                 string
	// Secret is shown as dots, and kept by the hypervisor as such.
	Secret bool
}

// Properties are the questions, in the order of the form.
func Properties() []Property {
	return []Property{
		{Key: Hostname, Label: "Host name", Default: "vosbed", Description: "Letters, digits and hyphens."},
		{Key: VLAN, Label: "VLAN", Description: "Number of the VLAN of eth0 that has the address, 1 to 4094. Empty: none, or the port group has it."},
		{Key: Address, Label: "IP address and prefix length", Description: "Of eth0 or its VLAN, such as 192.168.1.20/24, or dhcp. Empty: the console's wizard asks."},
		{Key: Gateway, Label: "Default gateway", Description: "In the network of the address. Empty: none."},
		{Key: DNS, Label: "DNS servers", Description: "Apart by commas or blanks. Empty: none."},
		{Key: Zone, Label: "Time zone", Default: "UTC", Description: "Such as Europe/London."},
		{Key: NTP, Label: "NTP servers", Description: "Apart by commas or blanks. Empty: none."},
		{Key: Password, Label: "Password of the WebUI", Secret: true, Description: "Whoever may look at this virtual machine's settings can read it: change it after the first log-in. Empty: the console's wizard asks."},
	}
}

// environment is the document that the hypervisor hands to the guest.
type environment struct {
	XMLName    xml.Name `xml:"http://schemas.dmtf.org/ovf/environment/1 Environment"`
	Properties []struct {
		Key   string `xml:"http://schemas.dmtf.org/ovf/environment/1 key,attr"`
		Value string `xml:"http://schemas.dmtf.org/ovf/environment/1 value,attr"`
	} `xml:"http://schemas.dmtf.org/ovf/environment/1 PropertySection>Property"`
}

// Parse reads an environment. What is empty or not of ours is left out: hypervisors add
// properties of their own.
func Parse(document []byte) (map[string]string, error) {
	if len(document) > maxEnvironment {
		return nil, fmt.Errorf("the OVF environment has %d bytes, more than the %d that are read", len(document), maxEnvironment)
	}
	var e environment
	if err := xml.Unmarshal(document, &e); err != nil {
		return nil, fmt.Errorf("read the OVF environment: %w", err)
	}
	ours := map[string]bool{}
	for _, p := range Properties() {
		ours[p.Key] = true
	}
	out := map[string]string{}
	for _, p := range e.Properties {
		value := p.Value
		if p.Key != Password {
			value = strings.TrimSpace(value)
		}
		if ours[p.Key] && value != "" {
			out[p.Key] = value
		}
	}
	return out, nil
}
