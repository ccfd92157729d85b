package spreadsheet

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"
)

func TestSafe(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\t=1": "'\t=1", "\r=1": "'\r=1", " =1": "' =1", "＝1": "'＝1", "\u00a0=1": "'\u00a0=1",
		"": "", " ": " ", "a=1": "a=1", "10.0.0.1": "10.0.0.1", `"=1`: `"=1`, "'=1": "'=1",
	} {
		if got := Safe(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// FuzzWrite: what is written is read again, and no cell begins a formula.
func FuzzWrite(f *testing.F) {
	f.Add("=cmd|' /C calc'!A0", "a,\"b\"\r\nc")
	f.Fuzz(func(t *testing.T, a, b string) {
		var out strings.Builder
		if err := Write(&out, [][]string{{"x", "y"}, {a, b}}); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(out.String())).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatalf("%v: %q", err, out.String())
		}
		lines := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") } // as encoding/csv reads it
		want := []string{lines(Safe(a)), lines(Safe(b))}
		got := []string{lines(rows[1][0]), lines(rows[1][1])}
		if !slices.Equal(got, want) && !strings.Contains(a+b, "\r") {
			t.Fatalf("%q came back as %q", want, got)
		}
		for _, cell := range rows[1] {
			if Safe(cell) != cell {
				t.Fatalf("%q is a formula", cell)
			}
		}
	})
}
