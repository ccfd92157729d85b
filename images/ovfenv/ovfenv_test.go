package ovfenv

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample is what ESXi hands over, shortened.
const sample = `<?xml version="1.0" encoding="UTF-8"?>
<Environment
     xmlns="http://schemas.dmtf.org/ovf/environment/1"
     xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
     xmlns:oe="http://schemas.dmtf.org/ovf/environment/1"
     xmlns:ve="http://www.vmware.com/schema/ovfenv"
     oe:id="" ve:vCenterId="vm-61">
   <PlatformSection>
      <Kind>VMware ESXi</Kind>
      <Version>6.5.0</Version>
   </PlatformSection>
   <PropertySection>
         <Property oe:key="address" oe:value=" 192.0.2.20/24 "/>
         <Property oe:key="dns" oe:value=""/>
         <Property oe:key="hostname" oe:value="lb&amp;1"/>
         <Property oe:key="password" oe:value=" blanks count "/>
         <Property oe:key="vami.ip0" oe:value="192.0.2.9"/>
   </PropertySection>
   <ve:EthernetAdapterSection>
      <ve:Adapter ve:mac="00:50:56:00:00:01" ve:network="VM Network" ve:unitNumber="7"/>
   </ve:EthernetAdapterSection>
</Environment>`

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{Address: "192.0.2.20/24", Hostname: "lb&1", Password: " blanks count "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":         "",
		"cut off":       sample[:len(sample)-5],
		"another space": strings.ReplaceAll(sample, "ovf/environment/1", "ovf/environment/9"),
		"too long":      sample + strings.Repeat(" ", maxEnvironment),
	} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: read as %v", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Parse(data)
		if err != nil {
			return
		}
		for key, value := range got {
			if value == "" {
				t.Errorf("%s is there without a value", key)
			}
		}
	})
}
