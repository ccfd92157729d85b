package matrix_test

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/vosbed/vosbed/images/vm"
)

// maxQCOW2 is how large the image may be in bytes; design section 6.
const maxQCOW2 = 60_000_000

// benchMemoryMB is the smallest machine that must serve.
const benchMemoryMB = 512

// benchConfig is of a machine on the network that QEMU imitates.
const benchConfig = `node:
  name: lb1
  management: ["10.0.2.15:9443"]
  system:
    hostname: lb1
    interfaces:
      - {name: eth0, addresses: [10.0.2.15/24]}
    routes:
      - {to: default, via: 10.0.2.2}
`

// TestBench boots a new machine as often as VOSBED_BOOTS says, by BIOS and by UEFI, and
// prints the time from power-on to the first page over HTTPS (make image-bench). How fast a
// machine emulates another is no matter of passing or failing; how large the image is, is.
func TestBench(t *testing.T) {
	boots, _ := strconv.Atoi(os.Getenv("VOSBED_BOOTS"))
	if boots <= 0 {
		t.Skip("VOSBED_BOOTS does not say how often to boot: run make image-bench")
	}
	at, _ := image(t)
	info, err := os.Stat(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("qcow2: %.1f MB", float64(info.Size())/1e6)
	if info.Size() > maxQCOW2 {
		t.Errorf("the image has %d bytes, more than %d", info.Size(), maxQCOW2)
	}
	for _, uefi := range []bool{false, true} {
		var times []time.Duration
		for range boots {
			port, began := freePort(t), time.Now()
			v, ctx := start(t, vm.Options{Disk: at, Snapshot: true, Seed: seed(t, benchConfig), UEFI: uefi, Hardware: vm.Hardwares()[0], HTTPS: port, MemoryMB: benchMemoryMB})
			times = append(times, answers(ctx, t, port, began))
			v.Stop()
		}
		slices.Sort(times)
		firmware := map[bool]string{false: "BIOS", true: "UEFI"}[uefi]
		t.Logf("%s, %d MB: power-on to HTTPS in %.1f s (median of %d, %.1f to %.1f)", firmware, benchMemoryMB,
			times[len(times)/2].Seconds(), boots, times[0].Seconds(), times[len(times)-1].Seconds())
	}
}
