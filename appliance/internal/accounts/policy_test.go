package accounts

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "Anna.Berg-2_x": true, strings.Repeat("a", 32): true,
		"": false, strings.Repeat("a", 33): false, "1a": false, ".a": false, "-a": false, "a b": false, "ä": false,
		"a\n": false, "a/b": false, "a@b": false, "[x": false, "a\x00": false, "__proto__": false,
	} {
		if err := checkName(name); (err == nil) != want || err != nil && !isPolicy(err, "name") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPasswords(t *testing.T) {
	tests := []struct {
		name, password string
		want           bool
	}{
		{"anna", good, true},
		{"anna", "1234567", false},
		{"anna", "pässwö7", false},  // 7 characters, more bytes
		{"anna", "ö7#kä-üq", true},  // 8
		{"anna", "        ", false}, // one character
		{"anna", "abababababababab", false},
		{"anna", "password", false},
		{"anna", "PassWord1", false},
		{"anna", "qwertyuiop", false},
		{"anna", "xkcdxkce", true},       // no kinds of characters are asked for
		{"anna", "anna1234", false},      // 1234 is left
		{"anna", "annapassword", false},  // password is left
		{"anna", "Hannah and I", true},   // "hh and i" is left
		{"al", "altitude", true},         // too short a name to count
		{"anna", "Vosbed-2026!", false},  // -2026! is left
		{"anna", "LoadBalancer", false},  //
		{"anna", "load-balancer", false}, //
		{"anna", "harmonicvosbed", false},
		{"anna", "harmonicHARMONICharmonic", false},
		{"anna", "harmonic7 mostly sings", true},
		{"anna", strings.Repeat("äbc1", 32), true}, // 128 characters
		{"anna", strings.Repeat("äbc1", 32) + "x", false},
	}
	for _, tt := range tests {
		if err := checkPassword(tt.name, tt.password); (err == nil) != tt.want || err != nil && !isPolicy(err, "password") {
			t.Errorf("%s with %q: %v", tt.name, tt.password, err)
		}
	}
}

func TestCommonList(t *testing.T) {
	words := strings.Fields(common)
	if len(words) != 3000 {
		t.Errorf("%d words, want 3000 (ASVS 6.2.4)", len(words))
	}
	for i, w := range words {
		if len(w) < shortestPassword || w != strings.ToLower(w) || i > 0 && words[i-1] >= w {
			t.Errorf("%q: too short, not in lower case or not in order", w)
		}
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"drain":                   "drain",
		"12345678":                "12345678",
		"123456789":               "1234567…",
		"äöüßäöüß":                "äöüßäöüß",
		"a\nb\tc":                 "a b c",
		"a\r\x1b[31mb":            "a[31mb",
		"a\u202eb":                "ab", // turns the reading direction
		"a\u2028b":                "ab", // ends a line in JavaScript
		"\xff":                    "\ufffd",
		strings.Repeat("\a", 1e6): "",
	} {
		if got := clean(text, 8); got != want {
			t.Errorf("%.20q: %q, want %q", text, got, want)
		}
	}
}

func TestCleanIsBoundedAndStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, most := rapid.String().Draw(t, "text"), rapid.IntRange(1, 40).Draw(t, "most")
		got := clean(text, most)
		if n := utf8.RuneCountInString(got); n > most {
			t.Errorf("%d characters, at most %d", n, most)
		}
		if again := clean(got, most); again != got {
			t.Errorf("%q becomes %q", got, again)
		}
		if strings.ContainsAny(got, "\n\r\x1b\x00") {
			t.Errorf("%q has control characters", got)
		}
	})
}

func TestRoles(t *testing.T) {
	if Auditor >= Operator || Operator >= Admin || Role(0) >= Auditor {
		t.Error("the roles are out of order")
	}
	for _, r := range []Role{Auditor, Operator, Admin} {
		if got, err := ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%v: %v, %v", r, got, err)
		}
	}
	for _, word := range []string{"", "root", "Admin", "role(0)"} {
		if r, err := ParseRole(word); !isPolicy(err, "role") || r != 0 {
			t.Errorf("%q: %v, %v", word, r, err)
		}
	}
	if _, err := Role(0).MarshalText(); err == nil {
		t.Error("no role was written")
	}
}
