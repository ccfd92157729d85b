package strictyaml

import (
	"reflect"
	"strings"
)

// fieldSet is the keys of a struct type in the order of its fields.
type fieldSet struct {
	names    []string
	required []string
	byName   map[string]field
}

type field struct{ index []int }

func fieldsOf(t reflect.Type) fieldSet {
	set := fieldSet{byName: make(map[string]field)}
	set.add(t, nil)
	return set
}

func (s *fieldSet) add(t reflect.Type, prefix []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int(nil), prefix...), i)
		tag, tagged := f.Tag.Lookup("yaml")
		if f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct {
			s.add(f.Type, index)
			continue
		}
		if !f.IsExported() || tag == "-" {
			continue
		}
		name, _, _ := strings.Cut(tag, ",")
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		s.names = append(s.names, name)
		s.byName[name] = field{index}
		if f.Tag.Get("strict") == "required" {
			s.required = append(s.required, name)
		}
	}
}

// Nearest returns the name most like word, or "" if none is near enough to be
// worth suggesting.
func Nearest(word string, names []string) string {
	best, bestCost := "", 0
	for _, name := range names {
		cost, near := likeness(fold(word), fold(name))
		if near && (best == "" || cost < bestCost) {
			best, bestCost = name, cost
		}
	}
	return best
}

// fold removes the differences that people do not see: case, dash, underscore.
func fold(s string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
}

func likeness(a, b string) (cost int, near bool) {
	if a == b {
		return 0, true
	}
	if len(a) > 64 || len(b) > 64 {
		return 0, false
	}
	cost = editDistance(a, b)
	if len(a) >= 3 && len(b) >= 3 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
		return cost, true
	}
	return cost, cost <= max(1, max(len(a), len(b))/3) && cost < len(b)
}

// editDistance counts insertions, deletions, substitutions and swaps of
// neighbours (optimal string alignment).
func editDistance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
