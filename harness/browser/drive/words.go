package drive

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/vosbed/vosbed/harness/browser"
)

// squeeze collapses white space.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

// mentions tells whether a text stands in another as words of its own.
func mentions(text, part string) bool {
	for at := 0; part != ""; {
		i := strings.Index(text[at:], part)
		if i < 0 {
			return false
		}
		i += at
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		first, _ := utf8.DecodeRuneInString(part)
		last, _ := utf8.DecodeLastRuneInString(part)
		after, _ := utf8.DecodeRuneInString(text[i+len(part):])
		joined := inWord(before) && inWord(first) || inWord(after) && inWord(last)
		if !joined {
			return true
		}
		at = i + len(part)
	}
	return false
}

func inWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// fold forgets the differences that are easily overlooked.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("–", "-", "—", "-", "−", "-", "‑", "-", "’", "'", "“", `"`, "”", `"`).Replace(squeeze(s)))
}

// slip says how a text that is there differs from the one that was wanted, if that is
// easily overlooked; "" if it is another text.
func slip(want, there string) string {
	if want == there || fold(want) != fold(there) {
		return ""
	}
	if strings.EqualFold(want, there) {
		return "capital and small letters differ"
	}
	return "– and - are different characters"
}

// listed is how many names a message lists.
const listed = 12

// among lists names for a message: those most like the wanted one first, each once.
func among(want string, names []string) string {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "" })
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return "there are none"
	}
	for _, n := range names {
		if why := slip(want, n); why != "" {
			return "there is " + browser.Quote(n) + ": " + why
		}
	}
	far := map[string]int{}
	for _, n := range names {
		far[n] = distance(fold(want), fold(n))
	}
	more := ""
	if len(names) > listed {
		slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(far[a], far[b]) })
		names, more = names[:listed], ", …"
		slices.Sort(names)
	}
	return "there are: " + strings.Join(names, ", ") + more
}

// distance is the number of letters to insert, remove or replace.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j := range y {
			cost := diagonal
			if x[i] != y[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(y)]
}

// shorten cuts a text for a message.
func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + " …"
}

// containsText tells whether a text has a part, whatever the white space between.
func containsText(text, part string) bool { return strings.Contains(squeeze(text), part) }

func indexRunes(text, part []rune) int {
	for i := 0; i+len(part) <= len(text); i++ {
		if slices.Equal(text[i:i+len(part)], part) {
			return i
		}
	}
	return -1
}

// join writes cells for a message.
func join(cells []string) string { return strings.Join(cells, " | ") }

func rowText(row [][]string) string {
	var cells []string
	for _, names := range row {
		text := ""
		if len(names) > 0 {
			text = names[0]
		}
		cells = append(cells, text)
	}
	return shorten(join(cells), cut)
}
