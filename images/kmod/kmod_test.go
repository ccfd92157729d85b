package kmod_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/images/kmod"
)

func index() kmod.Index {
	return kmod.Index{Modules: []kmod.Module{
		{Name: "ext4", Deps: []string{"jbd2", "mbcache"}, Soft: []string{"crc32c"}},
		{Name: "jbd2"},
		{Name: "mbcache"},
		{Name: "crc32c_generic", Aliases: []string{"crc32c", "crypto-crc32c"}},
		{Name: "virtio_net", Deps: []string{"failover"}, Aliases: []string{"virtio:d00000001v*"}},
		{Name: "failover"},
		{Name: "e1000", Aliases: []string{"pci:v00008086d0000100Esv*sd*bc*sc*i*", "pci:v00008086d0000100[FD]sv*sd*bc*sc*i*"}},
		{Name: "a", Deps: []string{"b"}},
		{Name: "b", Deps: []string{"a"}},
		{Name: "lonely", Deps: []string{"nobody"}},
		{Name: "zstd_user", Soft: []string{"builtin-thing"}},
	}}
}

func names(modules []kmod.Module) string {
	var out []string
	for _, m := range modules {
		out = append(out, m.Name)
	}
	return strings.Join(out, " ")
}

func TestOrder(t *testing.T) {
	tests := []struct{ want, names, err string }{
		{names: "ext4", want: "jbd2 mbcache crc32c_generic ext4"},
		{names: "ext4 jbd2", want: "jbd2 mbcache crc32c_generic ext4"},
		{names: "virtio-net", want: "failover virtio_net"},
		{names: "crypto-crc32c", want: "crc32c_generic"},
		{names: "zstd_user", want: "zstd_user"},
		{names: "a", err: "circle"},
		{names: "lonely", err: "needs nobody"},
		{names: "ext5", err: "no kernel module ext5"},
	}
	for _, tt := range tests {
		got, err := index().Order(strings.Fields(tt.names)...)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.names, err, tt.err)
			}
			continue
		}
		if err != nil || names(got) != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.names, names(got), err, tt.want)
		}
	}
}

func TestFor(t *testing.T) {
	for modalias, want := range map[string]string{
		"virtio:d00000001v00001AF4":                             "virtio_net",
		"pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00": "e1000",
		"pci:v00008086d0000100Dsv00001AF4sd00001100bc02sc00i00": "e1000",
		"pci:v00008086d0000100Csv00001AF4sd00001100bc02sc00i00": "",
		"crc32c": "",
	} {
		if got := strings.Join(index().For(modalias), " "); got != want {
			t.Errorf("%s: %q, want %q", modalias, got, want)
		}
	}
}

func TestIndexRoundTrip(t *testing.T) {
	data, err := index().Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := kmod.ParseIndex(data)
	if err != nil || len(got.Modules) != len(index().Modules) || !slices.Equal(got.Modules[0].Soft, []string{"crc32c"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := kmod.ParseIndex([]byte("{")); err == nil {
		t.Error("half an index was read")
	}
}

func TestName(t *testing.T) {
	if got := kmod.Name("/lib/modules/6.1.0/kernel/drivers/scsi/vmw-pvscsi.ko"); got != "vmw_pvscsi" {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := kmod.Parse("/a/b-c.ko", data); err == nil && m.Name != "b_c" {
			t.Error(m.Name)
		}
	})
}
