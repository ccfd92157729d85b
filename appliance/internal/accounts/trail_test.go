package accounts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newTrail(t *testing.T, most int64) *Trail {
	t.Helper()
	trail, err := openTrail(filepath.Join(t.TempDir(), "audit"), most)
	must(t, err)
	return trail
}

// did is the n-th entry.
func did(n int) Entry {
	return Entry{
		At: time.Date(2026, 11, 27, 12, 0, n, 0, time.UTC), User: "anna", From: "192.0.2.7",
		Action: "drain", Target: fmt.Sprintf("HT%d", n), Before: "online", After: "drain", Outcome: "done",
	}
}

// fill appends the entries 1 to last.
func fill(t *testing.T, trail *Trail, last int) {
	t.Helper()
	for n := 1; n <= last; n++ {
		must(t, trail.Append(did(n)))
	}
}

func latest(t *testing.T, trail *Trail, n int) []Entry {
	t.Helper()
	list, err := trail.Latest(n)
	must(t, err)
	return list
}

func TestLatest(t *testing.T) {
	trail := newTrail(t, largestTrail)
	if list := latest(t, trail, 10); len(list) != 0 {
		t.Errorf("an empty trail has %v", list)
	}
	fill(t, trail, 5)
	want := []Entry{did(5), did(4), did(3)}
	if diff := cmp.Diff(want, latest(t, trail, 3)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for n, want := range map[int]int{-1: 0, 0: 0, 1: 1, 5: 5, 6: 5, 1 << 30: 5} {
		if got := len(latest(t, trail, n)); got != want {
			t.Errorf("the latest %d are %d, want %d", n, got, want)
		}
	}
	must(t, trail.Verify())
}

func TestRotation(t *testing.T) {
	const most = 2000
	trail := newTrail(t, most)
	for n := 1; n <= 30; n++ {
		must(t, trail.Append(did(n)))
		must(t, trail.Verify())
	}
	files, err := os.ReadDir(trail.dir)
	must(t, err)
	if len(files) != 2 {
		t.Errorf("%d files, want 2", len(files))
	}
	for _, f := range files {
		var info os.FileInfo
		info, err = f.Info()
		must(t, err)
		if info.Size() > most || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, mode %v", f.Name(), info.Size(), info.Mode())
		}
	}
	list := latest(t, trail, 1000)
	for i, e := range list {
		if diff := cmp.Diff(did(30-i), e); diff != "" {
			t.Fatalf("entry %d (-want +got)\n%s", i, diff)
		}
	}
	if len(list) < 6 || len(list) >= 30 {
		t.Errorf("%d entries are left", len(list))
	}
	again, err := openTrail(trail.dir, most)
	must(t, err)
	must(t, again.Append(did(31)))
	must(t, again.Verify())
}

// TestOpenBetweenFiles is a crash just after the rename.
func TestOpenBetweenFiles(t *testing.T) {
	trail := newTrail(t, largestTrail)
	fill(t, trail, 3)
	must(t, os.Rename(trail.path(trailFile), trail.path(olderFile)))
	again, err := OpenTrail(trail.dir)
	must(t, err)
	must(t, again.Append(did(4)))
	must(t, again.Verify())
	if diff := cmp.Diff([]Entry{did(4), did(3)}, latest(t, again, 2)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestTamper(t *testing.T) {
	edit := func(from, to string) func([]byte) []byte {
		return func(data []byte) []byte { return bytes.Replace(data, []byte(from), []byte(to), 1) }
	}
	lines := func(f func(l [][]byte) [][]byte) func([]byte) []byte {
		return func(data []byte) []byte { return bytes.Join(f(bytes.SplitAfter(data, []byte("\n"))), nil) }
	}
	tests := []struct {
		name string
		do   func([]byte) []byte
		line int
	}{
		{"changed", edit("HT3", "HT9"), 4},
		{"first changed", edit("HT1", "HT9"), 2},
		{"last changed", edit("HT5", "HT9"), 6},
		{"field added", edit(`"target":"HT3"`, `"target":"HT3","x":1`), 3},
		{"value added", lines(func(l [][]byte) [][]byte { l[2] = append([]byte("{}"), l[2]...); return l }), 3},
		{"no JSON", edit(`"target":"HT3"`, `"target"`), 3},
		{"line removed", lines(func(l [][]byte) [][]byte { return append(l[:2], l[3:]...) }), 3},
		{"first removed", lines(func(l [][]byte) [][]byte { return l[1:] }), 1},
		{"last removed", lines(func(l [][]byte) [][]byte { return l[:4] }), 5},
		{"swapped", lines(func(l [][]byte) [][]byte { l[2], l[3] = l[3], l[2]; return l }), 3},
		{"twice", lines(func(l [][]byte) [][]byte { return append(l[:3], l[2:]...) }), 4},
		{"emptied", func([]byte) []byte { return nil }, 1},
		{"overlong", edit("HT3", strings.Repeat("x", longestLine)), 3},
		{"torn", func(data []byte) []byte { return data[:len(data)-5] }, 5},
	}
	for _, tt := range tests {
		trail := newTrail(t, largestTrail)
		fill(t, trail, 5)
		data, err := os.ReadFile(trail.path(trailFile))
		must(t, err)
		must(t, os.WriteFile(trail.path(trailFile), tt.do(data), 0o600))
		broken, ok := errors.AsType[*BrokenError](trail.Verify())
		if !ok || broken.File != trailFile || broken.Line != tt.line || !strings.Contains(broken.Error(), fmt.Sprint("line ", tt.line)) {
			t.Errorf("%s: %v, want line %d", tt.name, broken, tt.line)
		}
	}
}

func TestTamperWithTheOlderFile(t *testing.T) {
	change := func(at func(data, text []byte) int) func(path string) error {
		return func(path string) error {
			data, err := os.ReadFile(path)
			copy(data[at(data, []byte("online")):], "halted")
			return errors.Join(err, os.WriteFile(path, data, 0o600))
		}
	}
	tests := []struct {
		name string
		do   func(path string) error
		file string
		line int
	}{
		{"removed", os.Remove, trailFile, 1},
		{"last line changed", change(bytes.LastIndex), trailFile, 1},
		{"first line changed", change(bytes.Index), olderFile, 2},
	}
	for _, tt := range tests {
		trail := newTrail(t, 1000)
		fill(t, trail, 20)
		must(t, tt.do(trail.path(olderFile)))
		broken, ok := errors.AsType[*BrokenError](trail.Verify())
		if !ok || broken.File != tt.file || broken.Line != tt.line {
			t.Errorf("%s: %v", tt.name, broken)
		}
	}
}

// TestTorn cuts the file at many bytes of its last line, the last one too.
func TestTorn(t *testing.T) {
	trail := newTrail(t, largestTrail)
	fill(t, trail, 2)
	whole, err := os.ReadFile(trail.path(trailFile))
	must(t, err)
	must(t, trail.Append(did(3)))
	data, err := os.ReadFile(trail.path(trailFile))
	must(t, err)
	for _, cut := range []int{len(whole), len(whole) + 1, len(whole) + 30, len(data) - 2, len(data) - 1} {
		must(t, os.WriteFile(trail.path(trailFile), data[:cut], 0o600))
		again, err := OpenTrail(trail.dir)
		must(t, err)
		must(t, again.Verify())
		list := latest(t, again, 10)
		if cut == len(whole) { // exactly at the end of a line
			if len(list) != 2 {
				t.Errorf("%d entries", len(list))
			}
			continue
		}
		if len(list) != 3 || list[0].Action != "repair the audit trail" || list[1] != did(2) {
			t.Fatalf("cut at %d: %+v", cut, list)
		}
		if aside, err := os.ReadFile(again.path(tornFile)); err != nil || !bytes.Equal(aside, data[len(whole):cut]) {
			t.Fatalf("cut at %d: put aside %q, %v", cut, aside, err)
		}
	}
}

func TestTornWithoutALine(t *testing.T) {
	for _, size := range []int{1, chunk - 1, chunk, chunk + 1, 3 * chunk} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, trailFile), make([]byte, size), 0o600))
		trail, err := OpenTrail(dir)
		must(t, err)
		must(t, trail.Verify())
		if list := latest(t, trail, 10); len(list) != 1 || !strings.Contains(list[0].Outcome, fmt.Sprint(size, " bytes")) {
			t.Errorf("%d bytes: %+v", size, list)
		}
	}
}

func TestFailedWrite(t *testing.T) {
	trail := newTrail(t, largestTrail)
	fill(t, trail, 2)
	path := trail.path(trailFile)
	must(t, os.Rename(path, path+".away"))
	must(t, os.Mkdir(path, 0o700)) // cannot be written
	if err := trail.Append(did(3)); err == nil || !strings.Contains(err.Error(), trail.dir) {
		t.Errorf("%v", err)
	}
	must(t, os.Remove(path))
	must(t, os.Rename(path+".away", path))
	must(t, trail.Append(did(4)))
	must(t, trail.Verify())
}

// TestHalfWritten is a full disk on which not even the repair worked.
func TestHalfWritten(t *testing.T) {
	trail := newTrail(t, largestTrail)
	fill(t, trail, 2)
	f, err := os.OpenFile(trail.path(trailFile), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteString(`{"at":`)
	must(t, errors.Join(err, f.Close()))
	trail.dirty = true
	must(t, trail.Append(did(3)))
	must(t, trail.Verify())
	if list := latest(t, trail, 10); len(list) != 4 || list[0] != did(3) || list[2] != did(2) {
		t.Errorf("%+v", list)
	}
}

func TestFieldsAreBounded(t *testing.T) {
	trail := newTrail(t, largestTrail)
	for _, long := range []string{strings.Repeat("x", 1e6), strings.Repeat(`"`, 1e4), strings.Repeat("<", 1e4), strings.Repeat("\xff", 1e4), strings.Repeat("😀\n\x1b", 1e4)} {
		before := time.Now()
		must(t, trail.Append(Entry{User: long, From: long, Action: long, Target: long, Before: long, After: long, Outcome: long}))
		must(t, trail.Verify())
		e := latest(t, trail, 1)[0]
		if !strings.HasSuffix(e.User, "…") || len(e.Before) > 4*500 || strings.ContainsAny(e.Before, "\n\x1b") || e.At.Before(before) {
			t.Errorf("%.100v", e)
		}
	}
}

func TestDamagedLineIsTold(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, trailFile), []byte("\x1b[2J rubbish\n"), 0o600))
	trail, err := OpenTrail(dir)
	must(t, err)
	must(t, trail.Append(did(1)))
	list := latest(t, trail, 10)
	if len(list) != 2 || list[0] != did(1) || !strings.Contains(list[1].Outcome, "damaged") || strings.Contains(list[1].Outcome, "\x1b") {
		t.Errorf("%+v", list)
	}
	if broken, ok := errors.AsType[*BrokenError](trail.Verify()); !ok || broken.Line != 1 {
		t.Errorf("%v", broken)
	}
}

// TestLatestReadsTheEnd reads backwards over chunks of the file.
func TestLatestReadsTheEnd(t *testing.T) {
	trail := newTrail(t, largestTrail)
	var text bytes.Buffer
	prev := ""
	for n := range 2000 {
		data, err := encodeEntry(did(n), prev)
		must(t, err)
		prev = hashLine(data)
		text.Write(append(data, '\n'))
	}
	must(t, os.WriteFile(trail.path(trailFile), text.Bytes(), 0o600))
	trail, err := OpenTrail(trail.dir)
	must(t, err)
	must(t, trail.Verify())
	for _, n := range []int{1, 250, 300, 999, 1000, 5000} {
		list := latest(t, trail, n)
		if len(list) != min(n, mostLatest) {
			t.Fatalf("%d of %d", len(list), n)
		}
		for i, e := range list {
			if e != did(1999-i) {
				t.Fatalf("entry %d of %d: %+v", i, n, e)
			}
		}
	}
}

func FuzzTrailReader(f *testing.F) {
	data, err := encodeEntry(did(1), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(data, '\n'), []byte{})
	f.Add(append(data, "\n{"...), append(data, '\n'))
	f.Add([]byte("\n\n\x00"), []byte("{}"))
	dir := f.TempDir() // a new one for each input would be most of the work
	f.Fuzz(func(t *testing.T, current, older []byte) {
		must(t, os.WriteFile(filepath.Join(dir, trailFile), current, 0o600))
		must(t, os.WriteFile(filepath.Join(dir, olderFile), older, 0o600))
		trail, err := openTrail(dir, 1<<20)
		must(t, err)
		must(t, trail.Append(did(7)))
		list := latest(t, trail, mostLatest)
		if len(list) == 0 || list[0] != did(7) {
			t.Errorf("the latest is %+v", list)
		}
		for _, e := range list {
			if strings.ContainsAny(e.User+e.Action+e.Outcome, "\n\x1b") {
				t.Errorf("control characters: %+v", e)
			}
		}
		if _, ok := errors.AsType[*BrokenError](trail.Verify()); !ok && trail.Verify() != nil {
			t.Errorf("%v", trail.Verify())
		}
	})
}
