package update

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
	"github.com/vosbed/vosbed/internal/slots"
	"github.com/vosbed/vosbed/internal/slots/testuki"
)

// bench is an appliance with 1.0.0 in slot a and a folder for a boot partition.
type bench struct {
	*Manager
	t        *testing.T
	opts     Options
	boot     slots.Partition
	key      minisign.SecretKey
	restarts int
	refuses  error // the firmware's
}

func newBench(t *testing.T) *bench {
	t.Helper()
	key, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	b := &bench{t: t, boot: slots.Partition{Dir: filepath.Join(dir, "boot")}, key: key}
	files, err := slots.Files(slots.A, "1.0.0", testuki.Make("kernel", "ram"))
	if err != nil {
		t.Fatal(err)
	}
	files["release.pub"] = key.Public().File()
	for name, data := range files {
		at := filepath.Join(b.boot.Dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, data, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	b.opts = Options{
		KeyFile: filepath.Join(b.boot.Dir, "release.pub"), Version: "1.0.0", Dir: filepath.Join(dir, "state"),
		Config:  func() ([]byte, error) { return []byte("node: 1\n"), nil },
		Mount:   func(use func(slots.Partition) error) error { return use(b.boot) },
		Accepts: func(func() ([]byte, error)) error { return b.refuses },
		Restart: func() error { b.restarts++; return nil },
	}
	b.start("1.0.0")
	return b
}

// start is a start of the machine into a version.
func (b *bench) start(version string) {
	b.t.Helper()
	b.opts.Version = version
	m, err := Open(b.opts)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Manager = m
}

func (b *bench) archive(version string) []byte {
	b.t.Helper()
	var out bytes.Buffer
	if err := bundle.Write(&out, version, testuki.Make("kernel of "+version, "ram"), b.key); err != nil {
		b.t.Fatal(err)
	}
	return out.Bytes()
}

func (b *bench) install(data []byte, w Wish) (State, error) {
	b.t.Helper()
	u, err := b.Begin()
	if err != nil {
		return State{}, err
	}
	defer func() {
		if err := u.Close(); err != nil {
			b.t.Error(err)
		}
	}()
	for part := range slices.Chunk(data, 1000) {
		if _, err := u.Write(part); err != nil {
			return State{}, err
		}
	}
	return u.Install(w)
}

// files are all files below a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, at))
		out[at] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUpdateAndBack(t *testing.T) {
	b := newBench(t)
	data := b.archive("1.1.0")
	sum := fmt.Appendf(nil, "%x  vosbed-1.1.0.update\n", sha256.Sum256(data))
	st, err := b.install(data, Wish{Checksum: sum})
	if err != nil {
		t.Fatal(err)
	}
	next, ok := st.Installed()
	if want := (slots.System{Slot: slots.B, Version: "1.1.0", TriesLeft: slots.Tries}); !ok || next != want {
		t.Errorf("%+v, want %+v", next, want)
	}
	if left := files(t, b.opts.Dir); len(left) != 1 || left["config-1.0.0.yaml"] != "node: 1\n" {
		t.Errorf("left in the state: %v", left)
	}
	if err := b.Restart(Picture{Healthy: []string{"a/r1"}, Peer: true}); err != nil || b.restarts != 1 {
		t.Fatal(err, b.restarts)
	}

	b.start("1.1.0")
	if got := b.Before(); got == nil || got.Version != "1.0.0" || !got.Peer || len(got.Healthy) != 1 {
		t.Errorf("before: %+v", got)
	}
	if _, err := b.install(b.archive("1.2.0"), Wish{}); !strings.Contains(fmt.Sprint(err), "not proved itself yet") {
		t.Errorf("a system on trial takes an update: %v", err)
	}
	if err := b.boot.Bless(slots.B); err != nil {
		t.Fatal(err)
	}
	if st, err := b.State(); err != nil || !st.Running.Proven || b.Before() != nil {
		t.Errorf("%+v, %v, %v", st, err, b.Before())
	}
	if restarts, err := b.Back(); err != nil || !restarts || b.restarts != 2 {
		t.Fatal(restarts, err)
	}

	b.start("1.0.0")
	if st, err := b.State(); err != nil || st.First != slots.A || st.Running.Version != "1.0.0" {
		t.Errorf("%+v, %v", st, err)
	}
	if kept, err := Kept(b.opts.Dir, "1.0.0"); err != nil || string(kept) != "node: 1\n" {
		t.Errorf("%q, %v", kept, err)
	}
	if kept, err := Kept(b.opts.Dir, "0.1.0"); err != nil || kept != nil {
		t.Errorf("%q, %v", kept, err)
	}
	var no *RefusedError
	if _, err := b.Back(); !errors.As(err, &no) {
		t.Errorf("back to a version that was given up: %v", err)
	}
	if err := b.Restart(Picture{}); !errors.As(err, &no) {
		t.Errorf("restart into nothing: %v", err)
	}
}

// TestFirmwareRefuses: what the firmware would not start is not installed, and a damaged
// archive is called damaged.
func TestFirmwareRefuses(t *testing.T) {
	b := newBench(t)
	b.refuses = errors.New("no key of mine")
	good := b.archive("1.1.0")
	before := files(t, b.boot.Dir)
	var mistake *MistakeError
	if _, err := b.install(good, Wish{}); !errors.As(err, &mistake) || mistake.Field != "archive" || !errors.Is(err, b.refuses) {
		t.Errorf("installed: %v", err)
	}
	damaged := slices.Clone(good)
	damaged[len(damaged)-3000] ^= 1
	if _, err := b.install(damaged, Wish{}); err == nil || errors.Is(err, b.refuses) {
		t.Errorf("a damaged archive: %v", err)
	}
	if after := files(t, b.boot.Dir); !maps.Equal(before, after) {
		t.Error("the boot partition has changed")
	}
	b.refuses = nil
	if _, err := b.install(good, Wish{}); err != nil {
		t.Error(err)
	}
}

func TestBackBeforeTheRestart(t *testing.T) {
	for _, version := range []string{"1.1.0", "0.9.0"} {
		b := newBench(t)
		if _, err := b.install(b.archive(version), Wish{Older: true}); err != nil {
			t.Fatal(err)
		}
		if restarts, err := b.Back(); err != nil || restarts || b.restarts != 0 {
			t.Fatal(restarts, err)
		}
		if st, err := b.State(); err != nil || st.First != slots.A || !st.Running.Proven {
			t.Errorf("%s: %+v, %v", version, st, err)
		}
	}
}

func TestRefused(t *testing.T) {
	b := newBench(t)
	good := b.archive("1.1.0")
	flipped := slices.Clone(good)
	flipped[len(flipped)-3000] ^= 1
	other, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	var foreign bytes.Buffer
	if err := bundle.Write(&foreign, "1.1.0", testuki.Make("k", "r"), other); err != nil {
		t.Fatal(err)
	}
	var noSystem bytes.Buffer
	if err := bundle.Write(&noSystem, "1.1.0", []byte("a picture of a cat"), b.key); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data  []byte
		wish  Wish
		field string
		want  string
	}{
		"nothing":        {nil, Wish{}, "archive", "choose the archive"},
		"garbage":        {[]byte(strings.Repeat("x", 3000)), Wish{}, "archive", "no update of this product"},
		"truncated":      {good[:len(good)-3000], Wish{}, "archive", "too early"},
		"tampered":       {flipped, Wish{}, "archive", "changed"},
		"wrong key":      {foreign.Bytes(), Wish{}, "archive", "another key"},
		"wrong checksum": {good, Wish{Checksum: []byte(strings.Repeat("0", 64))}, "checksum", "another file"},
		"no checksum":    {good, Wish{Checksum: []byte{}}, "checksum", "no SHA-256"},
		"older":          {b.archive("0.9.0"), Wish{}, "archive", "older than the running 1.0.0"},
		"same":           {b.archive("1.0.0"), Wish{Older: true}, "archive", "runs already"},
		"no system":      {noSystem.Bytes(), Wish{}, "", "no unified kernel image"},
	}
	before := files(t, b.boot.Dir)
	for name, tt := range tests {
		_, err := b.install(tt.data, tt.wish)
		var wrong *MistakeError
		if tt.field != "" && (!errors.As(err, &wrong) || wrong.Field != tt.field) || !strings.Contains(fmt.Sprint(err), tt.want) {
			t.Errorf("%s: %v, want %s: %s", name, err, tt.field, tt.want)
		}
		if after := files(t, b.boot.Dir); len(after) != len(before) {
			t.Errorf("%s: the boot partition has changed", name)
		}
	}
	if st, err := b.State(); err != nil || len(st.Systems) != 1 || st.First != slots.A {
		t.Errorf("%+v, %v", st, err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.opts.Dir, uploadPattern)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestOlderIfMeant(t *testing.T) {
	b := newBench(t)
	st, err := b.install(b.archive("0.9.0"), Wish{Older: true})
	if next, ok := st.Installed(); err != nil || !ok || next.Version != "0.9.0" {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestNoRoom(t *testing.T) {
	b := newBench(t)
	b.free = func(string) (int64, error) { return spare, nil }
	var no *RefusedError
	if _, err := b.install(b.archive("1.1.0"), Wish{}); !errors.As(err, &no) || !strings.Contains(no.Text, "nothing was changed") {
		t.Errorf("%v", err)
	}
	if err := full(&fs.PathError{Op: "write", Err: unix.ENOSPC}); !errors.As(err, &no) {
		t.Errorf("%v", err)
	}
	u, err := b.Begin()
	if err != nil {
		t.Fatal(err)
	}
	u.size = bundle.MaxArchive
	if _, err := u.Write([]byte("x")); err == nil || !strings.Contains(err.Error(), "151 MB") {
		t.Errorf("%v", err)
	}
	if _, err := b.Begin(); !errors.As(err, &no) {
		t.Errorf("two at a time: %v", err)
	}
	if _, err := b.Back(); !errors.As(err, &no) {
		t.Errorf("back while one is sent: %v", err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(filepath.Join(b.opts.Dir, "upload-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.opts.Dir, pictureFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start("1.0.0")
	if left := files(t, b.opts.Dir); len(left) != 1 || b.Before() != nil {
		t.Errorf("%v", left)
	}
	b.opts.Version = "devel"
	if _, err := Open(b.opts); err == nil {
		t.Error("a version that cannot be compared is taken")
	}
	b.start("3.0.0")
	if _, err := b.State(); err == nil || !strings.Contains(err.Error(), "no slot with the running version 3.0.0") {
		t.Errorf("%v", err)
	}
	b.start("1.0.0")
	if err := os.Remove(b.opts.KeyFile); err != nil {
		t.Fatal(err)
	}
	var no *RefusedError
	if _, err := b.install([]byte("x"), Wish{}); !errors.As(err, &no) {
		t.Errorf("%v", err)
	}
}

func TestGate(t *testing.T) {
	when := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	up := lb.Health{Up: true, Last: lb.Verdict{At: when}}
	down := lb.Health{Last: lb.Verdict{At: when}}
	status := func(peer bool, health ...lb.Health) lb.Status {
		svc := lb.ServiceStatus{Name: "a"}
		for i, h := range health {
			svc.Reals = append(svc.Reals, lb.RealStatus{Name: fmt.Sprintf("r%d", i+1), Health: h})
		}
		return lb.Status{Pair: lb.PairStatus{PeerAlive: peer}, Services: []lb.ServiceStatus{svc}}
	}
	picture := PictureOf(status(true, up, down))
	if !picture.Peer || !slices.Equal(picture.Healthy, []string{"a/r1"}) {
		t.Fatalf("%+v", picture)
	}
	tests := map[string]struct {
		now    Now
		before *Picture
		want   []string
	}{
		"begin":        {Now{}, nil, []string{"the virtual services are not programmed yet"}},
		"failed":       {Now{Programmed: true, Failed: []string{"proxy"}}, nil, []string{"could not be programmed: proxy"}},
		"no verdict":   {Now{Programmed: true, Status: status(false, lb.Health{})}, nil, []string{"a/r1 was not checked yet"}},
		"verdicts":     {Now{Programmed: true, Status: status(false, up, down)}, nil, nil},
		"as before":    {Now{Programmed: true, Paired: true, Status: status(true, up, down)}, &picture, nil},
		"less green":   {Now{Programmed: true, Status: status(true, down, up)}, &picture, []string{"a/r1 passed its check before the update and does not yet"}},
		"no peer":      {Now{Programmed: true, Paired: true, Status: status(false, up, down)}, &picture, []string{"the peer was seen before the update and is not yet"}},
		"pair is gone": {Now{Programmed: true, Status: status(false, up, down)}, &picture, nil},
	}
	for name, tt := range tests {
		if got := Waiting(tt.now, tt.before); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
