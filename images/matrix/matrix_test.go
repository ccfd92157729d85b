package matrix_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/images/console"
	"github.com/vosbed/vosbed/images/vm"
	"github.com/vosbed/vosbed/internal/testenv"
)

// image is what is tested, and whether all of the matrix is: VOSBED_IMAGE is the folder of a
// build (make image-test), or "build" to build one here and try it once (continuous
// integration).
func image(t *testing.T) (path string, all bool) {
	t.Helper()
	dir := os.Getenv("VOSBED_IMAGE")
	if dir == "" {
		testenv.Missing(t, "image", "VOSBED_IMAGE names no image: run make image-test")
	}
	testenv.RequireTool(t, "qemu-system-x86_64")
	if dir == "build" {
		return built(t), false
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.qcow2"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s holds %d images: build one (make image)", dir, len(found))
	}
	return found[0], true
}

// whole is the image where all of the matrix is tried; elsewhere the test is skipped.
func whole(t *testing.T) string {
	t.Helper()
	if os.Getenv("VOSBED_IMAGE") == "build" {
		t.Skip("it takes minutes: make image-test tries it")
	}
	at, _ := image(t)
	return at
}

// built builds an image, which costs half a minute.
func built(t *testing.T, args ...string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "images")
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"run", "./cmd/mkimage", "build", "--out", out}, args...)...)
	cmd.Dir = root
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("build the image: %v\n%s", err, text)
	}
	found, err := filepath.Glob(filepath.Join(out, "*.qcow2"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the build made %v", found)
	}
	return found[0]
}

// freePort is a port of loopback that nobody has at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // it listens by TCP
}

func start(t *testing.T, o vm.Options) (*vm.VM, context.Context) {
	t.Helper()
	o.Format, o.Dir, o.Restarts = "qcow2", t.TempDir(), true
	if o.MemoryMB == 0 {
		o.MemoryMB = 512
	}
	ctx, cancel := context.WithTimeout(t.Context(), vm.Patience)
	t.Cleanup(cancel)
	v, err := vm.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.Stop()
		if n := v.Crashes(); n > 0 {
			t.Logf("the emulator crashed the machine's kernel %d times, and it was reset", n)
		}
	})
	return v, ctx
}

// answers waits until the WebUI answers on a loopback port, and returns how long it took.
// Questions overlap: QEMU's imitated network takes one that comes too early, and it hangs.
func answers(ctx context.Context, t *testing.T, port int, since time.Time) time.Duration {
	t.Helper()
	asking, end := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer end()
	found := make(chan time.Duration, 1)
	tick := time.NewTicker(400 * time.Millisecond)
	defer tick.Stop()
	for {
		all.Go(func() {
			if answered(asking, port) {
				select {
				case found <- time.Since(since):
				default:
				}
			}
		})
		select {
		case took := <-found:
			return took
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the WebUI does not answer: %v", context.Cause(ctx))
		}
	}
}

// answered asks the WebUI once.
func answered(ctx context.Context, port int) bool {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/lbadmin/login", port), http.NoBody)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// seed makes a disk with a first configuration and a password.
func seed(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, "seed.img")
	run := func(program string, args ...string) {
		if out, err := exec.CommandContext(t.Context(), testenv.RequireTool(t, program), args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %s", program, args, out)
		}
	}
	run("mkfs.vfat", "-n", "CIDATA", "-C", at, "1440")
	for name, text := range map[string]string{"vosbed.yaml": text, "password": password + "\n"} {
		from := filepath.Join(dir, name)
		if err := os.WriteFile(from, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run("mcopy", "-i", at, from, "::"+name)
	}
	return at
}

// firmware is what a machine starts by.
func firmware(uefi bool) string {
	if uefi {
		return "UEFI"
	}
	return "BIOS"
}

// TestImage sets the image up by its console and boots it on what hypervisors offer, by BIOS
// and by UEFI, with the guide's configuration: both VIPs serve. Where the image is built for
// the test it is booted once by each.
func TestImage(t *testing.T) {
	at, all := image(t)
	sizes(t, filepath.Dir(at))
	t.Run("wizard", func(t *testing.T) { wizard(t, at) })
	for _, hw := range vm.Hardwares() {
		for _, uefi := range []bool{true, false} {
			t.Run(hw.Name+" "+firmware(uefi), func(t *testing.T) { row(t, at, hw, uefi) })
		}
		if !all {
			return
		}
	}
}

// row is one row of the boot matrix: a machine with four cards is set up by a seed, shows its
// console, lets the administrator in, and serves by both VIPs.
func row(t *testing.T, at string, hw vm.Hardware, uefi bool) {
	t.Helper()
	l, began := newLAN(t), time.Now()
	v, ctx := l.start(t, vm.Options{Disk: at, Snapshot: true, Seed: seed(t, guideConfig(t)), UEFI: uefi, Hardware: hw})
	if err := v.Wait(ctx, "vosbed load balancer"); err != nil {
		t.Fatal(err)
	}
	shown := time.Since(began)
	port := l.forward(t, machineIP+":9443")
	web := answers(ctx, t, port, began)
	vips := l.serving(ctx, t, began)
	logIn(ctx, t, port)
	t.Logf("console after %.1f s, HTTPS after %.1f s, both VIPs serve after %.1f s, %s", shown.Seconds(), web.Seconds(), vips.Seconds(), memory(ctx, t, v))
}

// sizes prints what the files of a build weigh.
func sizes(t *testing.T, dir string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Size() > 1<<20 {
			t.Logf("%-28s %6.1f MB", f.Name(), float64(info.Size())/1e6)
		}
	}
}

// memory asks a machine at its console what it has and what is free.
func memory(ctx context.Context, t *testing.T, v *vm.VM) string {
	t.Helper()
	talk(ctx, t, v,
		dialog{"Press Enter to log in", ""},
		dialog{"Password of loadbalancer", password},
		dialog{"Choose", "3"},
		dialog{"lb1:", "free -m; exit"},
		dialog{"Swap:", ""},
	)
	said := v.Said()
	fields := strings.Fields(said[strings.LastIndex(said, "Mem:"):])
	if len(fields) < 7 {
		t.Fatalf("free(1) says %q", said[strings.LastIndex(said, "Mem:"):])
	}
	return fmt.Sprintf("%s of %s MB of memory are available", fields[6], fields[1])
}

// dialog is what a person does: waits for a text, then types a line.
type dialog struct{ wait, answer string }

// terminal is where a person sits.
type terminal interface {
	Wait(ctx context.Context, text string) error
	Type(line string) error
}

func talk(ctx context.Context, t *testing.T, v terminal, lines ...dialog) {
	t.Helper()
	for _, l := range lines {
		if err := v.Wait(ctx, l.wait); err != nil {
			t.Fatal(err)
		}
		if err := v.Type(l.answer); err != nil {
			t.Fatal(err)
		}
	}
}

// password is strong enough for the daemon.
const password = "correct horse 7 battery"

// wizard sets a new machine up over its serial line (guide 9.2), makes a newcomer's
// mistakes on the way, and logs in to its API.
func wizard(t *testing.T, at string) {
	t.Helper()
	port := freePort(t)
	v, ctx := start(t, vm.Options{Disk: at, Snapshot: true, Hardware: vm.Hardwares()[0], HTTPS: port})
	setUp(ctx, t, v, port)
	talk(ctx, t, v,
		dialog{"Password of loadbalancer", password},
		dialog{"Choose", "3"},
		dialog{"lb1:", "hostname; date +%Z; exit"},
		dialog{"lb1", ""}, // what hostname said
	)
}

// setUp is a newcomer at the console of a new machine on the emulator's network.
func setUp(ctx context.Context, t *testing.T, tty terminal, port int) {
	t.Helper()
	talk(ctx, t, tty,
		dialog{"Not set up yet", ""},
		dialog{"Host name", "not a name"},
		dialog{"is no host name", "lb1"},
		dialog{"Network card", "eth9"},
		dialog{"is none of them", "1"},
		dialog{"VLAN number", "5000"},
		dialog{"is no number of a VLAN", ""},
		dialog{"IP address", "10.0.2.15"},
		dialog{"IP address", "10.0.2.15/24"},
		dialog{"Default gateway", "10.9.9.9"},
		dialog{"is not in the network", "10.0.2.2"},
		dialog{"DNS servers", "-"},
		dialog{"Time zone", "Europe/London"},
		dialog{"NTP servers", "-"},
		dialog{"Apply these settings?", "yes"},
		dialog{"Keep them?", "yes"},
		dialog{"New password", "short"},
		dialog{"Once more", "short"},
		dialog{"New password", password},
		dialog{"Once more", password + "x"},
		dialog{"The two differ", password},
		dialog{"Once more", password},
		dialog{"https://10.0.2.15:9443/lbadmin/", ""},
	)
	answers(ctx, t, port, time.Now())
	logIn(ctx, t, port)
}

// logIn logs in as the guide says. A seed's password is set when the daemon is there, which
// may be a moment after its pages.
func logIn(ctx context.Context, t *testing.T, port int) {
	t.Helper()
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		body := strings.NewReader(fmt.Sprintf(`{"user":%q,"password":%q}`, console.User, password))
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("https://127.0.0.1:%d%s", port, api.PathSession), body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err == nil {
			err = fmt.Errorf("it answers %s", res.Status)
			if _ = res.Body.Close(); res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("log in: %v", err)
		case <-tick.C:
		}
	}
}
