package accounts

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds of passwords, in characters (ASVS 6.2.1 and 6.2.9), and of names.
const (
	shortestPassword = 8
	longestPassword  = 128
	longestName      = 32
)

// A name shorter than this may be part of a password: nearly every word has it.
const shortestContext = 3

// contextWords are what a person in front of this machine thinks of first (ASVS
// 6.2.11); a string, because a slice would be a variable.
const contextWords = "loadbalancer load-balancer harmonic vosbed"

// PolicyError says why a name, a role or a password is not accepted and what to do
// instead. Its text is meant for the person who typed it.
type PolicyError struct {
	Field  string // "name", "role" or "password"
	Reason string
}

// Error returns the reason.
func (e *PolicyError) Error() string { return e.Reason }

// checkName accepts 1 to 32 of letters, digits, "_", "-" and ".", a letter first.
func checkName(name string) error {
	if validName(name) {
		return nil
	}
	return &PolicyError{Field: "name", Reason: fmt.Sprintf(
		"%s is no account name: use 1 to %d of the letters a-z, digits, _ - and ., beginning with a letter", quote(name), longestName)}
}

// ValidName reports whether a name is one that an account may have: 1 to 32 letters,
// digits, "_", "-" and ".", a letter first.
func ValidName(name string) bool { return validName(name) }

func validName(name string) bool {
	if name == "" || len(name) > longestName || !isLetter(name[0]) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !isLetter(c) && (c < '0' || c > '9') && !strings.ContainsRune("_-.", rune(c)) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// checkPassword asks for length and against the obvious, and for nothing else: no
// kinds of characters (ASVS 6.2.5), no change after a time (6.2.10).
func checkPassword(name, password string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < shortestPassword:
		return weak("the password has %d characters: use at least %d, better 15 or more; several words are fine", n, shortestPassword)
	case n > longestPassword:
		return weak("the password has %d characters: use at most %d", n, longestPassword)
	}
	folded := strings.ToLower(password)
	if isCommon(folded) {
		return weak("this password is among the first that an attacker tries: choose another, for example four unrelated words")
	}
	rest := folded
	for word := range strings.FieldsSeq(strings.ToLower(name) + " " + contextWords) {
		if len(word) >= shortestContext {
			rest = strings.ReplaceAll(rest, word, "")
		}
	}
	if utf8.RuneCountInString(rest) < shortestPassword || isCommon(rest) {
		return weak("the account name and the words loadbalancer, harmonic and vosbed are easily guessed: "+
			"without them the password must still have %d characters and not be a common one", shortestPassword)
	}
	return nil
}

func weak(format string, args ...any) error {
	return &PolicyError{Field: "password", Reason: fmt.Sprintf(format, args...)}
}

// isCommon reports whether a password in lower case is in the list, or is one or two
// characters again and again.
func isCommon(folded string) bool {
	var seen []rune
	for _, r := range folded {
		if !strings.ContainsRune(string(seen), r) {
			seen = append(seen, r)
		}
	}
	if len(seen) <= 2 {
		return true
	}
	for word := range strings.FieldsSeq(common) {
		if word == folded {
			return true
		}
	}
	return false
}
