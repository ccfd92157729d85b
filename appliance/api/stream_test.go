package api

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func read1(text string) (out []string, err error) {
	err = readEvents(strings.NewReader(text), func(e sentEvent) error {
		out = append(out, fmt.Sprintf("%d %s %q", e.ID, e.Name, e.Data))
		return nil
	})
	return out, err
}

func TestReadEvents(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text string
		want []string
	}{
		"empty":             {"", nil},
		"comments":          {": hello\n\n: \n\n", nil},
		"one":               {"id: 7\nevent: server\ndata: {}\n\n", []string{`7 server "{}"`}},
		"lines of data":     {"data: a\ndata:b\ndata:  c\n\n", []string{`0  "a\nb\n c"`}},
		"the ID stays":      {"id: 7\ndata: a\n\nevent: x\ndata: b\n\ndata: c\n\n", []string{`7  "a"`, `7 x "b"`, `7  "c"`}},
		"cut in the middle": {"data: a\n\ndata: b", []string{`0  "a"`}},
		"odd fields":        {"retry: 5\nid: -1\nfoo\ndata\n\n", []string{`0  ""`}},
		"CRLF":              {"id: 3\r\ndata: a\r\n\r\n", []string{`3  "a"`}},
	} {
		got, err := read1(tt.text)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	for name, text := range map[string]string{"one line": "data: " + strings.Repeat("x", maxEvent+1), "many": strings.Repeat("data: "+strings.Repeat("x", maxEvent/2)+"\n", 3)} {
		if _, err := read1(text); !errors.Is(err, errLongEvent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzReadEvents(f *testing.F) {
	for _, s := range []string{"id: 7\nevent: a\ndata: {}\n\n", ":\n\n", "data\n\n", "id: 18446744073709551616\ndata: \x00\n\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		total := 0
		err := readEvents(strings.NewReader(text), func(e sentEvent) error {
			total += len(e.Data)
			return nil
		})
		if err == nil && total > len(text) {
			t.Fatalf("%d bytes of data in %d", total, len(text))
		}
	})
}
