package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/config"
)

// TestManyVLANs: a list that is far too long is refused at once, whatever is stacked in it.
func TestManyVLANs(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("node:\n  name: lb1\n  system:\n    interfaces:\n")
	for i := 3000; i > 0; i-- {
		fmt.Fprintf(&b, "      - {name: v%d, vlan: {link: v%d, id: 1}, bond: {members: [v%d]}}\n", i, i-1, i-1)
	}
	begun := time.Now()
	_, err := config.Parse("config.yaml", []byte(b.String()))
	if took := time.Since(begun); err == nil || !strings.Contains(err.Error(), "3000 interfaces, the limit is 64") || took > 15*time.Second {
		t.Errorf("after %s: %.200v", took, err)
	}
}
