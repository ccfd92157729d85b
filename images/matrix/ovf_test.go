package matrix_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/images/ovfenv"
	"github.com/vosbed/vosbed/images/vm"
	"github.com/vosbed/vosbed/internal/testenv"
)

// TestOVF deploys a machine as vCenter does: its properties come on a disc in the CD-ROM
// drive, and nobody sits at its console (guide 9.1, DSP0243 11.2).
func TestOVF(t *testing.T) {
	at := whole(t)
	for _, uefi := range []bool{true, false} {
		t.Run(firmware(uefi), func(t *testing.T) { deployed(t, at, uefi) })
	}
}

func deployed(t *testing.T, at string, uefi bool) {
	t.Helper()
	disc := ovfDisc(t, map[string]string{
		ovfenv.Hostname: "lb-vc", ovfenv.Address: machineIP + "/24", ovfenv.Gateway: "192.168.94.1", ovfenv.DNS: "192.168.94.1, 192.168.94.2",
		ovfenv.Zone: "Europe/London", ovfenv.NTP: "", ovfenv.Password: password,
	})
	l, began := newLAN(t), time.Now()
	v, ctx := l.start(t, vm.Options{Disk: at, Snapshot: true, Disc: disc, UEFI: uefi, Hardware: hardware(t, "vmware")})
	port := l.forward(t, machineIP+":9443")
	took := answers(ctx, t, port, began)
	logIn(ctx, t, port)
	t.Logf("HTTPS after %.1f s", took.Seconds())
	text, _, err := client(ctx, t, port).Config(ctx)
	must(t, err)
	for _, want := range []string{"hostname: lb-vc", "Europe/London", machineIP + "/24", "via: 192.168.94.1", "192.168.94.2"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the configuration lacks %s:\n%s", want, text)
		}
	}
	talk(ctx, t, v, dialog{"WebUI: https://" + machineIP + ":9443/lbadmin/", ""})
}

func hardware(t *testing.T, name string) vm.Hardware {
	t.Helper()
	for _, hw := range vm.Hardwares() {
		if hw.Name == name {
			return hw
		}
	}
	t.Fatalf("there is no hardware like %s", name)
	return vm.Hardware{}
}

// ovfDisc is the disc that a hypervisor makes of properties.
func ovfDisc(t *testing.T, properties map[string]string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1" oe:id="">
<PlatformSection><Kind>VMware ESXi</Kind><Version>7.0.3</Version><Vendor>VMware, Inc.</Vendor><Locale>en</Locale></PlatformSection>
<PropertySection>
`)
	for key, value := range properties {
		fmt.Fprintf(&b, "<Property oe:key=%q oe:value=%q/>\n", key, value)
	}
	b.WriteString("</PropertySection>\n</Environment>\n")
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, ovfenv.File), []byte(b.String()), 0o600))
	disc := filepath.Join(t.TempDir(), "ovf-env.iso")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, testenv.RequireTool(t, "genisoimage"), "-quiet", "-J", "-V", "OVF ENV", "-o", disc, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("genisoimage: %v: %s", err, out)
	}
	return disc
}
