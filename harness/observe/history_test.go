package observe_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/observe"
)

func record(t *testing.T, at time.Duration, text string) observe.Record {
	t.Helper()
	r, err := observe.New(at, observe.KindEvent, "e", observe.Note{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := observe.NewWriter(f, 0)
	want := []observe.Record{record(t, 1, "one"), record(t, 2, "two <&>"), record(t, 1500*time.Millisecond, strings.Repeat("long ", 40000))}
	for _, r := range want {
		if err = w.Append(r); err != nil {
			t.Fatal(err)
		}
	}
	if err = f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := observe.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		a, errA := observe.Decode[observe.Note](want[i])
		b, errB := observe.Decode[observe.Note](got[i])
		if errA != nil || errB != nil || a != b || want[i].T != got[i].T {
			t.Errorf("record %d differs (%v, %v)", i, errA, errB)
		}
	}
}

func TestReadTornAndMalformed(t *testing.T) {
	whole := `{"t":1,"kind":"event","name":"a"}` + "\n"
	tests := []struct {
		name, in string
		want     int
		err      string
	}{
		{"empty", "", 0, ""},
		{"blank lines", "\n" + whole + "\n", 1, ""},
		{"torn last line", whole + `{"t":2,"ki`, 1, ""},
		{"whole last line without newline", whole + strings.TrimSpace(whole), 2, ""},
		{"malformed inside", whole + "{\n" + whole, 1, "line 2"},
		{"wrong type", `{"t":"x"}` + "\n", 0, "line 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := observe.Read(strings.NewReader(tt.in))
			if len(got) != tt.want {
				t.Errorf("%d records, want %d", len(got), tt.want)
			}
			if (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestWriterIsBounded(t *testing.T) {
	var out bytes.Buffer
	w := observe.NewWriter(&out, 200)
	var err error
	for range 20 {
		err = w.Append(record(t, 1, "some text that counts"))
	}
	if !errors.Is(err, observe.ErrFull) {
		t.Fatalf("error %v, want ErrFull", err)
	}
	got, err := observe.Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	last := got[len(got)-1]
	if last.Kind != observe.KindBroken || len(got) > 5 {
		t.Errorf("%d records, the last is %q", len(got), last.Kind)
	}
}

func TestConcurrentAppend(t *testing.T) {
	var out bytes.Buffer
	w := observe.NewWriter(&out, 0)
	var wg sync.WaitGroup
	r := record(t, 1, "x")
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := w.Append(r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := observe.Read(&out)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[observe.Kind]int{}
	for _, r := range got {
		kinds[r.Kind]++
	}
	if diff := cmp.Diff(map[observe.Kind]int{observe.KindEvent: 400}, kinds); diff != "" {
		t.Error(diff)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"t":1,"kind":"event","value":{}}` + "\n"))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := observe.Read(bytes.NewReader(b))
		if err == nil && len(records) > len(b) {
			t.Errorf("%d records from %d bytes", len(records), len(b))
		}
	})
}
