package drive

import (
	"strings"
	"testing"
)

func TestMentionsWholeWordsOnly(t *testing.T) {
	for _, tt := range []struct {
		text, part string
		want       bool
	}{
		{"HM1 192.168.94.105", "HM1", true},
		{"HM10", "HM1", false},
		{"HM10 and HM1", "HM1", true},
		{"Harmonic_Management", "Management", false},
		{"Label *", "Label", true},
		{"Add a new Real Server", "Add a new Real Server", true},
		{"Größe", "Grö", false},
		{"", "x", false},
		{"x", "", false},
		{"(Reload HAProxy)", "(Reload", true},
	} {
		if got := mentions(tt.text, tt.part); got != tt.want {
			t.Errorf("%q mentions %q: %v", tt.text, tt.part, got)
		}
	}
}

func TestAMessageSaysWhatIsThere(t *testing.T) {
	many := strings.Fields("aa bb cc dd ee ff gg hh ii jj kk ll mm Updat")
	for _, tt := range []struct {
		want  string
		names []string
		say   string
	}{
		{"Updaet", []string{"Update", "", "Cancel", "Update"}, "there are: Cancel, Update"},
		{"x", nil, "there are none"},
		{"Layer 7 - Real", []string{"Layer 7 – Real"}, "there is “Layer 7 – Real”: – and - are different characters"},
		{"update", []string{"Update"}, "there is “Update”: capital and small letters differ"},
	} {
		if got := among(tt.want, tt.names); got != tt.say {
			t.Errorf("%q among %q: %q, want %q", tt.want, tt.names, got, tt.say)
		}
	}
	if got := among("Update", many); !strings.Contains(got, "Updat, ") || !strings.HasSuffix(got, ", …") || strings.Count(got, ",") != listed {
		t.Errorf("of many: %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"updaet", "update", 2}, {"kitten", "sitting", 3}, {"ü", "u", 1}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestRowsAreReadInOrder(t *testing.T) {
	rows := [][][]string{
		{{"Label"}, {"IP"}, {"Weight"}},
		{{"● HM1 serving", "HM1", "serving"}, {"192.168.94.105"}, {"100"}, {}},
		{{"HM2"}, {"192.168.94.106"}, {"100"}},
	}
	for _, tt := range []struct {
		want []string
		err  string
	}{
		{[]string{"HM1", "192.168.94.105", "100"}, ""},
		{[]string{"HM1", "100"}, ""},
		{[]string{"serving"}, ""},
		{[]string{"HM1", "serving", "100"}, ""}, // two in one cell
		{[]string{"100", "100"}, "it lacks “100”"},
		{[]string{"192.168.94.105", "HM1"}, "it lacks “HM1”"},
		{[]string{"HM1", "192.168.94.106"}, "most like it is “● HM1 serving | 192.168.94.105 | 100 | ”: it lacks “192.168.94.106”"},
		{[]string{"HM"}, "no row “HM”"},
	} {
		err := inRows(tt.want, rows)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q: %v, want %q", tt.want, err, tt.err)
		}
	}
	if err := inRows([]string{"x"}, nil); err == nil || !strings.Contains(err.Error(), "there is no table") {
		t.Errorf("no table: %v", err)
	}
}
