package ebpf

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/testenv"
)

// syn sends the first packet of a client's connection and returns the verdict.
func syn(t *testing.T, p *Plane, do func(func() error) error, client uint32, port uint16) (uint32, []byte) {
	t.Helper()
	f := synFrame(client, port)
	var (
		ret uint32
		out []byte
	)
	if err := do(func() (err error) { ret, out, err = p.objs.Ingress.Test(f); return err }); err != nil {
		t.Error(err)
	}
	return ret, out
}

// synFrame is a minimal SYN from 11.x.x.x to port 80 of the VIP.
func synFrame(client uint32, port uint16) []byte {
	f := make([]byte, 54)
	f[12], f[14], f[22], f[23] = 8, 0x45, 64, 6
	binary.BigEndian.PutUint16(f[16:], 40)
	binary.BigEndian.PutUint32(f[26:], 0x0b000000|client)
	vip := netip.MustParseAddr(vip4).As4()
	copy(f[30:], vip[:])
	binary.BigEndian.PutUint16(f[34:], port)
	binary.BigEndian.PutUint16(f[36:], 80)
	f[46], f[47] = 0x50, 2
	return f
}

func TestWatchReportsNewMovedAndLost(t *testing.T) {
	p, ns := testPlane(t, Options{}, service(vip4))
	syn(t, p, ns.Do, 1, 1000) // before the watch: found by its first sweep
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan lb.PersistenceEntry, 100)
	done := make(chan error, 1)
	go func() {
		done <- p.Watch(ctx, func(batch []lb.PersistenceEntry) {
			for _, e := range batch {
				got <- e
			}
		})
	}()
	client := func(n byte) netip.Addr { return netip.AddrFrom4([4]byte{11, 0, 0, n}) }
	first := last(expect(t, got, client(1)))
	if err := p.Watch(ctx, nil); err == nil {
		t.Error("a second watcher was let in")
	}
	syn(t, p, ns.Do, 2, 1000)
	expect(t, got, client(2))
	table := service(vip4, func(s *plan.L4Service) { s.Reals[int(first.Server[1]-'0')].State = lb.Halted })
	if err := ns.Do(func() error { return p.Set(ctx, table) }); err != nil {
		t.Fatal(err)
	}
	syn(t, p, ns.Do, 1, 1001)
	moved := last(expect(t, got, client(1)))
	if moved.Server == first.Server {
		t.Errorf("client 1 is still reported on the halted %s", moved.Server)
	}
	imported := []lb.PersistenceEntry{{Service: "media", Client: client(8), Server: "s1"}, {Service: "media", Client: client(9), Server: moved.Server}}
	if err := p.Import(ctx, imported); err != nil {
		t.Fatal(err)
	}
	if err := p.age(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	syn(t, p, ns.Do, 9, 1000) // no event: only the sweep can see that the client has come
	for _, e := range expect(t, got, client(9)) {
		if e.Client == client(8) {
			t.Error("an imported entry was reported before its client had come")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Watch: %v", err)
	}
}

func last(all []lb.PersistenceEntry) lb.PersistenceEntry { return all[len(all)-1] }

// expect returns all reports up to the first one of a client.
func expect(t *testing.T, got <-chan lb.PersistenceEntry, client netip.Addr) (all []lb.PersistenceEntry) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	for {
		select {
		case e := <-got:
			if all = append(all, e); e.Client == client {
				return all
			}
		case <-deadline:
			t.Fatalf("no report of client %s", client)
		}
	}
}

// Maps of another layout are replaced with a word in the log; the lease stays.
func TestOutdatedMapsAreReplaced(t *testing.T) {
	dir := bpffs(t)
	old, _ := testPlane(t, Options{PinDir: dir}, service(vip4))
	old.lease.Renew(77)
	if err := old.objs.Settings.Put(uint32(0), drConfig{Version: layoutVersion + 1}); err != nil {
		t.Fatal(err)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p, ns := testPlane(t, Options{PinDir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))}, service(vip4))
	if !strings.Contains(log.String(), "do not fit this version") {
		t.Errorf("log %q says nothing of the replacement", log.String())
	}
	if got := p.lease.Deadline(); got != 77 {
		t.Errorf("the lease holds %d, want 77", got)
	}
	if ret, _ := syn(t, p, ns.Do, 1, 1); ret != redirected {
		t.Errorf("verdict %d after the replacement", ret)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	testPlane(t, Options{PinDir: dir, Flows: 1 << 10, Logger: slog.New(slog.NewTextHandler(&log, nil))}, service(vip4))
	if !strings.Contains(log.String(), "do not fit this version") {
		t.Errorf("log %q says nothing of another capacity", log.String())
	}
}

// A real server that answers ARP for the VIP is seen and named.
func TestConflictNamesTheServer(t *testing.T) {
	l := newLab(t)
	p := l.plane(Options{})
	l.run(p)
	l.set(p, service(vip4))
	eventually(t, "both MACs are known", func() bool {
		c, err := p.Counters(t.Context())
		return err == nil && len(c.MACs) == 2
	})
	// With the ARP problem unsolved a server announces the VIP as its own.
	l.in(l.servers[1], func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return announceARP(link, netip.MustParseAddr(vip4))
	})
	eventually(t, "the conflict is seen", func() bool {
		c, err := p.Conflicts(t.Context())
		return err == nil && len(c) == 1 && c[0].Server == "s1" && c[0].VIP == netip.MustParseAddr(vip4)
	})
	if err := p.ResetConflicts(); err != nil {
		t.Fatal(err)
	}
	if c, err := p.Conflicts(t.Context()); err != nil || len(c) != 0 {
		t.Errorf("after a reset: %v, %v", c, err)
	}
}

// A server whose network card is changed is found again.
func TestNewMACIsLearned(t *testing.T) {
	l := newLab(t)
	l.serve(0, vip4+":80")
	p := l.plane(Options{})
	l.run(p)
	l.set(p, service(vip4, func(s *plan.L4Service) { s.Reals = s.Reals[:1] }))
	rip := netip.MustParseAddr("10.77.0.105")
	mac := func() string {
		c, err := p.Counters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c.MACs[rip]
	}
	eventually(t, "the first MAC", func() bool { return mac() != "" })
	fresh := net.HardwareAddr{2, 0, 0, 0x99, 0, 1}
	l.in(l.servers[0], func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		if err = netlink.LinkSetHardwareAddr(link, fresh); err != nil {
			return err
		}
		if link, err = netlink.LinkByName("eth0"); err != nil {
			return err
		}
		return announceARP(link, rip)
	})
	eventually(t, "the new MAC", func() bool { return mac() == fresh.String() })
	c, _, err := l.dial(vip4 + ":80")
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

// The committed object is what the sources give.
func TestObjectIsUpToDate(t *testing.T) {
	testenv.RequireTool(t, "clang-19")
	testenv.RequireTool(t, "llvm-strip-19")
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "bpf"), os.DirFS("bpf")); err != nil {
		t.Fatal(err)
	}
	tool, err := exec.CommandContext(t.Context(), "go", "tool", "-n", "bpf2go").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(tool)), generateArgs(t)...)
	cmd.Dir = dir // paths in the object are relative to it
	cmd.Env = append(os.Environ(), "GOPACKAGE=ebpf")
	if out, runErr := cmd.CombinedOutput(); runErr != nil {
		t.Fatalf("%v\n%s", runErr, out)
	}
	for _, name := range []string{"dr_bpfel.go", "dr_bpfel.o"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the sources give: run go generate (%v)", name, err)
		}
	}
}

// generateArgs reads the arguments of the go:generate line.
func generateArgs(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("gen.go")
	if err != nil {
		t.Fatal(err)
	}
	_, line, ok := strings.Cut(string(b), "//go:generate go tool bpf2go ")
	if !ok {
		t.Fatal("gen.go has no generate line")
	}
	var args []string
	for i, part := range strings.Split(strings.TrimSpace(line), `"`) {
		if i%2 == 1 {
			args = append(args, part)
			continue
		}
		args = append(args, strings.Fields(part)...)
	}
	return args
}
