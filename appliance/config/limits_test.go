package config_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// crowd is a file of n services with reals servers each, every one on its own address.
func crowd(n, reals int) []byte {
	var b strings.Builder
	b.WriteString("node: {name: lb1}\nservices:\n")
	vip, rip := netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("10.128.0.1")
	for i := range n {
		fmt.Fprintf(&b, "- name: s%d\n  address: %s\n  ports: 554\n  real_servers:\n", i, vip)
		vip = vip.Next()
		for j := range reals {
			fmt.Fprintf(&b, "  - {name: r%d, address: %s}\n", j, rip)
			rip = rip.Next()
		}
	}
	return []byte(b.String())
}

// TestRoom fills layer 4 to the brim, and one further.
func TestRoom(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		services, reals int
		want            []string // parts of each error
	}{
		"all addresses":      {lb.MaxVIPs, 1, nil},
		"two addresses more": {lb.MaxVIPs + 2, 1, []string{"services[512].address", "services[513].address"}},
		"all real servers":   {lb.MaxAllRealServers / 64, 64, nil},
		"a service too many": {lb.MaxAllRealServers/64 + 1, 64, []string{"leave room for 0 of the 8192 real servers"}},
		"a server too many":  {1, lb.MaxRealServers + 1, []string{"257 real servers, the limit is 256"}},
		"all of one service": {1, lb.MaxRealServers, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Parse("c.yaml", crowd(tt.services, tt.reals))
			errs := config.ErrorsOf(err)
			if len(errs) != len(tt.want) {
				t.Fatalf("%d errors, want %d: %v", len(errs), len(tt.want), err)
			}
			for i, want := range tt.want {
				if got := errs[i].Error(); !strings.Contains(got, want) {
					t.Errorf("error %d is %q, want %q in it", i, got, want)
				}
			}
		})
	}
}
