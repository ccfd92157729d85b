package stats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// TestKept: what was written is read, to the precision of the file, and goes on.
func TestKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := newFeeder()
		wild(t, f)
		data := f.encode()
		again := newCore(f.patience)
		if err := again.decode(data); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.encode(), data) {
			t.Error("what was read is written otherwise")
		}
		end := f.horizon(f.wall)
		span := time.Duration(rapid.Int64Range(1, int64(365*24*time.Hour)).Draw(t, "span"))
		if d := cmp.Diff(f.window(end, span, 500), again.window(end, span, 500), cmpopts.EquateApprox(1e-5, 1e-30)); d != "" {
			t.Error(d)
		}
	})
}

// TestRestart: a bucket that was begun before a restart goes on after it.
func TestRestart(t *testing.T) {
	t.Parallel()
	f := newFeeder()
	f.tick(0)
	f.run(60, 10)
	g := newFeeder()
	if err := g.decode(f.encode()); err != nil {
		t.Fatal(err)
	}
	g.wall = f.wall + 600_000 // down for ten minutes
	g.tick(0)
	g.run(60, 30)
	rx := g.window(g.wall, time.Hour+time.Minute, 1).Series[seriesRX]
	if *rx.Min != 10 || *rx.Avg != 20 || *rx.Max != 30 || *rx.Total != 24_000 {
		t.Errorf("min %v, avg %v, max %v, total %v", *rx.Min, *rx.Avg, *rx.Max, *rx.Total)
	}
	hour := g.tiers[3].find(t0 / 3_600_000)
	if hour.measured != [groupCount]int64{1_200_000, 1_200_000} || hour.cells[seriesRX] != (cell{10, 20, 30}) {
		t.Errorf("the hour is %+v", hour)
	}
}

// sealed is a text with the checksum that it needs.
func sealed(body []byte) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(body), checksum(body))
}

// sample is a file with something in it.
func sample() []byte {
	f := newFeeder()
	f.tick(0)
	f.s.Load1, f.s.Memory = 0.5, 1<<30
	f.run(20, 1000)
	return f.encode()
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	good := sample()
	body := good[:len(good)-sumSize]
	at := func(offset int, v uint32) []byte {
		b := bytes.Clone(body)
		binary.BigEndian.PutUint32(b[offset:], v)
		return sealed(b)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)/2] ^= 1
	first := headSize + tierSize // the first record
	for name, tt := range map[string]struct {
		data []byte
		want error
	}{
		"empty":                  {nil, errForeign},
		"a text":                 {[]byte(`{"version":1}`), errForeign},
		"head only":              {good[:headSize], errDamaged},
		"another version":        {at(len(fileMagic), 2), errForeign},
		"a bit flipped":          {flipped, errDamaged},
		"cut":                    {good[:len(good)-1], errDamaged},
		"more behind it":         {sealed(append(bytes.Clone(body), 0)), errDamaged},
		"a resolution missing":   {sealed(body[:headSize]), errDamaged},
		"another step":           {at(headSize, 1000), errForeign},
		"more slots":             {at(headSize+4, 1<<31), errForeign},
		"more buckets than fit":  {at(headSize+8, 361), errDamaged},
		"more buckets than are":  {at(headSize+8, 200), errDamaged},
		"out of order":           {at(first, 359), errDamaged},
		"measured too long":      {at(first+4, 10_001), errDamaged},
		"not measured":           {at(first+4, 0), errDamaged},
		"no number":              {at(first+12, math.Float32bits(float32(math.NaN()))), errDamaged},
		"negative":               {at(first+12, math.Float32bits(-1)), errDamaged},
		"the average is no such": {at(first+16, math.Float32bits(1e9)), errDamaged},
		"infinite":               {at(first+20, math.Float32bits(float32(math.Inf(1)))), errDamaged},
	} {
		if err := newCore(time.Minute).decode(tt.data); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if err := newCore(time.Minute).decode(sealed(body)); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

// TestSetAside: whatever lies in the place of the file, the daemon starts and says so.
func TestSetAside(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(path string) error{
		"damaged":   func(path string) error { return os.WriteFile(path, sample()[1:], 0o600) },
		"empty":     func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"too large": func(path string) error { return os.WriteFile(path, make([]byte, mostFile+1), 0o600) },
		"a folder":  func(path string) error { return os.Mkdir(path, 0o700) },
		"a pipe":    func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		path := filepath.Join(t.TempDir(), "graphs")
		if err := place(path); err != nil {
			t.Fatal(err)
		}
		var log journal
		opts := Options{
			File: path, Source: func() (Sample, error) { return Sample{}, nil },
			Logger: log.logger(),
		}
		if _, err := Open(opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		said := log.take()
		if _, err := os.Lstat(path + setAside); err != nil || strings.Count(said, "level=WARN") != 1 {
			t.Errorf("%s: %v; log %q", name, err, said)
		}
		if _, err := Open(opts); err != nil {
			t.Errorf("%s, the second time: %v", name, err)
		}
		if said := log.take(); said != "" {
			t.Errorf("%s, the second time: log %q", name, said)
		}
	}
}

// FuzzDecode: the reader holds nothing against any text, and takes only what it would
// write.
func FuzzDecode(f *testing.F) {
	good := sample()
	f.Add(good[:len(good)-sumSize])
	f.Add(newCore(time.Minute).encode())
	f.Add([]byte(fileMagic))
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = newCore(time.Minute).decode(body)
		c, data := newCore(time.Minute), sealed(body) // past the checksum
		if c.decode(data) != nil {
			return
		}
		if !bytes.Equal(c.encode(), data) {
			t.Error("what was read is written otherwise")
		}
		for _, span := range []time.Duration{time.Minute, 365 * 24 * time.Hour} {
			for _, s := range c.window(t0, span, 100).Series {
				if s.Avg != nil && (*s.Min > *s.Avg || *s.Avg > *s.Max) {
					t.Errorf("%s: %v, %v, %v", s.Name, *s.Min, *s.Avg, *s.Max)
				}
			}
		}
	})
}
