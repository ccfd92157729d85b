package slots

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/internal/slots/testuki"
)

// fresh is a partition as it leaves the factory: 1.0.0 in slot a.
func fresh(t *testing.T) Partition {
	t.Helper()
	files, err := Files(A, "1.0.0", testuki.Make("kernel one", "ram one"))
	if err != nil {
		t.Fatal(err)
	}
	p := Partition{Dir: t.TempDir()}
	for name, data := range files {
		if err := p.write(name, data); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// uefi does what systemd-boot does: the entries that have tries come first, then the newest
// version; the choice costs a try.
func uefi(t *testing.T, p Partition) Slot {
	t.Helper()
	all, err := p.entries()
	if err != nil {
		t.Fatal(err)
	}
	type option struct {
		slot    Slot
		tries   counter
		version string
	}
	var options []option
	for slot, c := range all {
		text, err := os.ReadFile(p.at(entryDir + "/" + name(slot, c)))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(text), "version ")
		version, _, _ := strings.Cut(after, "\n")
		options = append(options, option{slot, c, version})
	}
	spent := func(c counter) bool { return c.counted && c.left == 0 }
	slices.SortFunc(options, func(a, b option) int {
		if spent(a.tries) != spent(b.tries) {
			return map[bool]int{true: 1, false: -1}[spent(a.tries)]
		}
		return cmp.Compare(b.version, a.version)
	})
	first := options[0]
	if first.tries.counted && first.tries.left > 0 {
		if err := p.rename(first.slot, counter{true, first.tries.left - 1, first.tries.done + 1}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(p.at(first.slot.Image())); err != nil {
		t.Fatalf("systemd-boot chose slot %s, which has no system", first.slot)
	}
	return first.slot
}

// bios does what GRUB's program does.
func bios(t *testing.T, p Partition) Slot {
	t.Helper()
	e, err := p.environment()
	if err != nil {
		t.Fatal(err)
	}
	slot := e.first
	switch {
	case e.trying && e.left == 0:
		slot = e.first.Other()
	case e.trying:
		e.left--
		if err := p.setEnvironment(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(p.at(slot.grub())); err != nil {
		slot = slot.Other()
	}
	if _, err := os.Stat(p.at(slot.grub())); err != nil {
		t.Fatal("GRUB finds no system")
	}
	return slot
}

type loader func(*testing.T, Partition) Slot

func loaders() map[string]loader { return map[string]loader{"UEFI": uefi, "BIOS": bios} }

func install(t *testing.T, p Partition, slot Slot, version string) {
	t.Helper()
	if err := p.Install(slot, version, testuki.Make("kernel of "+version, "ram")); err != nil {
		t.Fatal(err)
	}
}

func TestANewSystemIsTriedAndGivenUp(t *testing.T) {
	for firmware, boot := range loaders() {
		p := fresh(t)
		install(t, p, B, "1.1.0")
		for try := range Tries {
			if got := boot(t, p); got != B {
				t.Fatalf("%s: try %d started slot %s", firmware, try+1, got)
			}
		}
		for range 3 {
			if got := boot(t, p); got != A {
				t.Fatalf("%s: slot %s was started after every try had failed", firmware, got)
			}
		}
		st, err := p.State()
		if b, ok := st.In(B); err != nil || !ok || b.Proven || b.TriesLeft != 0 || st.First != A {
			t.Errorf("%s: %+v, %v", firmware, st, err)
		}
	}
}

func TestAProvenSystemStays(t *testing.T) {
	for firmware, boot := range loaders() {
		p := fresh(t)
		install(t, p, B, "1.1.0")
		if got := boot(t, p); got != B {
			t.Fatalf("%s: slot %s was started", firmware, got)
		}
		if err := p.Bless(B); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			for other, next := range loaders() {
				if got := next(t, p); got != B {
					t.Fatalf("%s after %s: slot %s was started", other, firmware, got)
				}
			}
		}
		st, err := p.State()
		if b, ok := st.Of("1.1.0"); err != nil || !ok || !b.Proven || b.Slot != B || st.First != B {
			t.Errorf("%s: %+v, %v", firmware, st, err)
		}
	}
}

func TestGoBack(t *testing.T) {
	for firmware, boot := range loaders() {
		p := fresh(t)
		if err := p.GoBack(A); err == nil {
			t.Fatalf("%s: there was nothing to go back to", firmware)
		}
		install(t, p, B, "1.1.0")
		if err := p.Bless(B); err != nil {
			t.Fatal(err)
		}
		if err := p.GoBack(B); err != nil {
			t.Fatal(err)
		}
		if got := boot(t, p); got != A {
			t.Errorf("%s: slot %s was started", firmware, got)
		}
		st, err := p.State()
		if err != nil || st.First != A {
			t.Errorf("%s: %+v, %v", firmware, st, err)
		}
		// The next update goes where the given up one is.
		install(t, p, B, "1.2.0")
		if got := boot(t, p); got != B {
			t.Errorf("%s: the next update was not tried: slot %s", firmware, got)
		}
	}
}

var errPower = errors.New("the power failed")

// TestThePowerMayFailAtAnyMoment cuts an installation off at each of its steps: both loaders
// start a whole system then, and the installation can be done again.
func TestThePowerMayFailAtAnyMoment(t *testing.T) {
	for firmware, boot := range loaders() {
		for cut := 0; ; cut++ {
			p := fresh(t)
			install(t, p, B, "1.1.0")
			if err := p.Bless(B); err != nil {
				t.Fatal(err)
			}
			steps := 0
			broken := Partition{Dir: p.Dir, before: func() error {
				if steps++; steps > cut {
					return errPower
				}
				return nil
			}}
			err := broken.Install(A, "1.2.0", testuki.Make("new", "ram"))
			slot := boot(t, p)
			if err == nil {
				if slot != A || cut < 5 {
					t.Errorf("%s: slot %s after %d steps", firmware, slot, cut)
				}
				break
			}
			if slot == A {
				whole(t, p)
			}
			if slot == B {
				install(t, p, A, "1.2.0")
				if got := boot(t, p); got != A {
					t.Errorf("%s: cut at step %d, installed again, and slot %s was started", firmware, cut, got)
				}
			}
		}
	}
}

// whole checks that slot a holds all of the new system.
func whole(t *testing.T, p Partition) {
	t.Helper()
	got, err := os.ReadFile(p.at(A.Image()))
	if err != nil || !bytes.Equal(got, testuki.Make("new", "ram")) {
		t.Errorf("a system was started that is not whole: %v", err)
	}
}

func TestGRUBFindsTheParts(t *testing.T) {
	image := testuki.Make("the kernel", "the RAM disk")
	files, err := Files(B, "2.0.0", image)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(files["b/grub.cfg"])) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		want := map[string]string{"linux": "the kernel", "initrd": "the RAM disk"}[verb]
		if want == "" {
			continue
		}
		place, options, _ := strings.Cut(strings.TrimPrefix(rest, "(uki)"), " ")
		begin, length, _ := strings.Cut(place, "+")
		from, _ := strconv.Atoi(begin)
		size, _ := strconv.Atoi(length)
		if got := string(image[from*sector : (from+size)*sector]); !strings.HasPrefix(got, want) {
			t.Errorf("%s leads to %q", line, got[:20])
		}
		if verb == "linux" && options != "console=ttyS0" {
			t.Errorf("the command line is %q", options)
		}
	}
}

func TestWhatIsNoSystemIsRefused(t *testing.T) {
	p := fresh(t)
	for name, image := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "too large": make([]byte, maxImage+1), "cut": testuki.Make("k", "r")[:600],
	} {
		if err := p.Install(B, "1.1.0", image); err == nil {
			t.Errorf("%s was installed", name)
		}
	}
	if st, err := p.State(); err != nil || len(st.Systems) != 1 || st.First != A {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestNames(t *testing.T) {
	for _, file := range []string{"vosbed-a.conf", "vosbed-b+3.conf", "vosbed-a+0.conf", "vosbed-b+1-2.conf"} {
		slot, c, ok := parseName(file)
		if !ok || name(slot, c) != file {
			t.Errorf("%s is %v %v %v", file, slot, c, ok)
		}
	}
	for _, file := range []string{"vosbed-c.conf", "vosbed-a.txt", "vosbed-a+.conf", "vosbed-a+x-1.conf", "vosbed-a+1-x.conf", "other.conf"} {
		if _, _, ok := parseName(file); ok {
			t.Errorf("%s was taken for an entry", file)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add(environment{first: B, trying: true, left: 2}.encode())
	f.Add(environment{first: A}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEnvironment(b)
		if err != nil {
			return
		}
		again, err := parseEnvironment(e.encode())
		if err != nil || again != e {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}

func TestADamagedPartitionIsTold(t *testing.T) {
	p := fresh(t)
	if err := os.WriteFile(filepath.Join(p.Dir, "grub", "grubenv"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.State(); err == nil {
		t.Error("a damaged environment was read")
	}
}

// TestOlder tries a system that is older than the running one: it comes first all the same,
// and is given up like any other.
func TestOlder(t *testing.T) {
	for name, boot := range map[string]func(*testing.T, Partition) Slot{"uefi": uefi, "bios": bios} {
		p := fresh(t)
		if err := p.Install(B, "0.9.0", testuki.Make("kernel", "ram")); err != nil {
			t.Fatal(err)
		}
		if err := p.Prefer(B); err != nil {
			t.Fatal(err)
		}
		for i := range Tries {
			if got := boot(t, p); got != B {
				t.Fatalf("%s, start %d: slot %s, want b", name, i, got)
			}
		}
		if got := boot(t, p); got != A {
			t.Errorf("%s: slot %s after the last try, want a", name, got)
		}
		if err := p.Bless(A); err != nil {
			t.Fatal(err)
		}
		if st, err := p.State(); err != nil || st.First != A || !st.Systems[0].Proven {
			t.Errorf("%s: %+v, %v", name, st, err)
		}
	}
}
