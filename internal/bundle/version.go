package bundle

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxVersion bounds a version's text in bytes.
const maxVersion = 64

// Version is one of a release: up to four numbers, and perhaps what comes before that
// release ("1.2.0-rc.1"; semver.org, without build metadata).
type Version struct {
	numbers []uint64
	before  []string
	text    string
}

// ParseVersion reads a version.
func ParseVersion(text string) (Version, error) {
	wrong := fmt.Errorf("%.80q is no version: write it like 1.2.0 or 1.2.0-rc.1", text)
	if len(text) > maxVersion {
		return Version{}, wrong
	}
	v := Version{text: text}
	release, before, pre := strings.Cut(text, "-")
	for part := range strings.SplitSeq(release, ".") {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil || len(v.numbers) == 4 || strconv.FormatUint(n, 10) != part {
			return Version{}, wrong
		}
		v.numbers = append(v.numbers, n)
	}
	if !pre {
		return v, nil
	}
	for part := range strings.SplitSeq(before, ".") {
		if part == "" || strings.ContainsFunc(part, notWord) {
			return Version{}, wrong
		}
		v.before = append(v.before, part)
	}
	return v, nil
}

func notWord(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-'
}

// String is the version as it was read.
func (v Version) String() string { return v.text }

// Compare is -1 if v is older than o, 0 if they are the same, 1 if it is newer.
func (v Version) Compare(o Version) int {
	for i := range 4 {
		if c := cmp.Compare(at(v.numbers, i), at(o.numbers, i)); c != 0 {
			return c
		}
	}
	switch {
	case len(v.before) == 0 && len(o.before) == 0:
		return 0
	case len(v.before) == 0:
		return 1
	case len(o.before) == 0:
		return -1
	}
	return slices.CompareFunc(v.before, o.before, comparePart)
}

func at(list []uint64, i int) uint64 {
	if i < len(list) {
		return list[i]
	}
	return 0
}

// comparePart compares as semver does: numbers by value, and before words.
func comparePart(a, b string) int {
	x, errA := strconv.ParseUint(a, 10, 64)
	y, errB := strconv.ParseUint(b, 10, 64)
	switch {
	case errA == nil && errB == nil:
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(a, b))
	case errA == nil:
		return -1
	case errB == nil:
		return 1
	}
	return cmp.Compare(a, b)
}
