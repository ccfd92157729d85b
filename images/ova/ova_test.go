package ova

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vmware/govmomi/ovf"

	"github.com/vosbed/vosbed/images/ovfenv"
)

const diskText = "KDMV and what follows"

func options(t *testing.T, p Platform) Options {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "any name.vmdk")
	if err := os.WriteFile(disk, []byte(diskText), 0o600); err != nil {
		t.Fatal(err)
	}
	return Options{
		Platform: p, Name: "vosbed", Version: "1.2.3", Disk: disk, Capacity: 20 << 30,
		Time: time.Date(2026, 1, 1, 0, 0, 0, 7, time.UTC),
	}
}

func written(t *testing.T, o Options) []byte {
	t.Helper()
	at := filepath.Join(t.TempDir(), "out.ova")
	if err := Write(at, o); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(at)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// unpacked is the names in order and the content of each.
func unpacked(t *testing.T, data []byte) (names []string, files map[string]string) {
	t.Helper()
	files = map[string]string{}
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names, files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Format != tar.FormatUSTAR || h.ModTime.Unix() != 1767225600 || h.Uname != "" || h.Uid != 0 {
			t.Errorf("%s: header %+v", h.Name, h)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, files[h.Name] = append(names, h.Name), string(text)
	}
}

func TestWriteTwice(t *testing.T) {
	t.Parallel()
	for _, p := range []Platform{VMware, VirtualBox} {
		if !bytes.Equal(written(t, options(t, p)), written(t, options(t, p))) {
			t.Errorf("platform %d: the second run gave other bytes", p)
		}
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	names, files := unpacked(t, written(t, options(t, VMware)))
	if diff := cmp.Diff([]string{"vosbed-1.2.3.ovf", "vosbed-1.2.3.mf", "vosbed-1.2.3-disk1.vmdk"}, names); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if files["vosbed-1.2.3-disk1.vmdk"] != diskText {
		t.Error("the disk is another one")
	}
	var want strings.Builder
	for _, name := range []string{"vosbed-1.2.3.ovf", "vosbed-1.2.3-disk1.vmdk"} {
		fmt.Fprintf(&want, "SHA256(%s)= %x\n", name, sha256.Sum256([]byte(files[name])))
	}
	if diff := cmp.Diff(want.String(), files["vosbed-1.2.3.mf"]); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

func parsed(t *testing.T, p Platform) *ovf.Envelope {
	t.Helper()
	_, files := unpacked(t, written(t, options(t, p)))
	e, err := ovf.Unmarshal(strings.NewReader(files["vosbed-1.2.3.ovf"]))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// hardware is the machine in the words of a person.
func hardware(e *ovf.Envelope) []string {
	h := e.VirtualSystem.VirtualHardware[0]
	out := []string{*h.System.VirtualSystemType}
	for _, i := range h.Item {
		line := fmt.Sprint(*i.ResourceType)
		if i.VirtualQuantity != nil {
			line += fmt.Sprintf(" quantity %d %s", *i.VirtualQuantity, *i.AllocationUnits)
		}
		if i.ResourceSubType != nil {
			line += " " + *i.ResourceSubType
		}
		if len(i.HostResource) > 0 {
			line += fmt.Sprintf(" %s on %s", i.HostResource[0], *i.Parent)
		}
		if len(i.Connection) > 0 {
			line += fmt.Sprintf(" %s in %s connected %v", i.ElementName, i.Connection[0], *i.AutomaticAllocation)
		}
		out = append(out, line)
	}
	for _, c := range h.Config {
		out = append(out, c.Key+"="+c.Value)
	}
	return out
}

func TestHardware(t *testing.T) {
	t.Parallel()
	for p, want := range map[Platform][]string{
		VMware: {
			"vmx-13", "3 quantity 2 hertz * 10^6", "4 quantity 4096 byte * 2^20", "6 VirtualSCSI", "17 ovf:/disk/vmdisk1 on 3",
			"10 VmxNet3 eth0 in eth0 connected true", "10 VmxNet3 eth1 in eth1 connected false",
			"10 VmxNet3 eth2 in eth2 connected false", "10 VmxNet3 eth3 in eth3 connected false",
			"5", "15 vmware.cdrom.remotepassthrough",
			"bootOptions.efiSecureBootEnabled=false", "firmware=efi",
		},
		VirtualBox: {
			"virtualbox-2.2", "3 quantity 2 hertz * 10^6", "4 quantity 4096 byte * 2^20", "20 AHCI", "17 ovf:/disk/vmdisk1 on 3",
			"10 E1000 eth0 in Bridged connected true", "10 E1000 eth1 in Null connected false",
			"10 E1000 eth2 in Null connected false", "10 E1000 eth3 in Null connected false",
		},
	} {
		e := parsed(t, p)
		if diff := cmp.Diff(want, hardware(e)); diff != "" {
			t.Errorf("platform %d (-want +got):\n%s", p, diff)
		}
		named := map[string]bool{}
		for _, n := range e.Network.Networks {
			named[n.Name] = true
		}
		ids := map[string]bool{}
		for _, i := range e.VirtualSystem.VirtualHardware[0].Item {
			if ids[i.InstanceID] {
				t.Errorf("platform %d: two items are %s", p, i.InstanceID)
			}
			ids[i.InstanceID] = true
			if i.Parent != nil && !ids[*i.Parent] {
				t.Errorf("platform %d: %s is on %s, which is not there", p, i.ElementName, *i.Parent)
			}
			if len(i.Connection) > 0 && !named[i.Connection[0]] {
				t.Errorf("platform %d: %s is in the network %s, which is not described", p, i.ElementName, i.Connection[0])
			}
		}
	}
}

func TestDiskAndFile(t *testing.T) {
	t.Parallel()
	e := parsed(t, VMware)
	d := e.Disk.Disks[0]
	if d.Capacity != fmt.Sprint(20<<30) || *d.CapacityAllocationUnits != "byte" || !strings.HasSuffix(*d.Format, "#streamOptimized") {
		t.Errorf("disk %+v", d)
	}
	f := e.References[0]
	if f.ID != *d.FileRef || f.Href != "vosbed-1.2.3-disk1.vmdk" || f.Size != uint(len(diskText)) {
		t.Errorf("file %+v of disk %+v", f, d)
	}
}

func TestProperties(t *testing.T) {
	t.Parallel()
	e := parsed(t, VMware)
	if got := *e.VirtualSystem.VirtualHardware[0].Transport; got != "iso" {
		t.Errorf("transport %q", got)
	}
	var got []ovfenv.Property
	for _, p := range e.VirtualSystem.Product[0].Property {
		if !*p.UserConfigurable || p.Type != "string" {
			t.Errorf("property %+v", p)
		}
		got = append(got, ovfenv.Property{
			Key: p.Key, Label: *p.Label, Description: *p.Description, Default: *p.Default, Secret: p.Password != nil && *p.Password,
		})
	}
	if diff := cmp.Diff(ovfenv.Properties(), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if box := parsed(t, VirtualBox).VirtualSystem; box.VirtualHardware[0].Transport != nil || len(box.Product[0].Property) > 0 {
		t.Error("VirtualBox is promised properties that it cannot hand over")
	}
}

func TestEscapes(t *testing.T) {
	t.Parallel()
	o := options(t, VMware)
	o.Version = `1"<&>`
	text, err := descriptor(o, 1)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ovf.Unmarshal(bytes.NewReader(text))
	if err != nil || e.VirtualSystem.Product[0].Version != o.Version {
		t.Errorf("version %+v, %v", e, err)
	}
}

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := Write(filepath.Join(dir, "a.ova"), Options{})
	if err == nil {
		t.Fatal("nothing was packed")
	}
	for _, what := range []string{"platform", "name", "version", "disk", "capacity", "time"} {
		if !strings.Contains(err.Error(), what) {
			t.Errorf("%v does not name the %s", err, what)
		}
	}
	o := options(t, VMware)
	o.Disk = filepath.Join(dir, "missing.vmdk")
	if err = Write(filepath.Join(dir, "a.ova"), o); err == nil {
		t.Error("a missing disk was packed")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
