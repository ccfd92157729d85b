package scenario

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	yaml "go.yaml.in/yaml/v4"

	"github.com/vosbed/vosbed/internal/strictyaml"
)

// Overlay is a free-form part of an appliance's configuration: maps, lists,
// scalars and nulls. The appliance checks its meaning.
type Overlay map[string]any

// UnmarshalNode takes any map.
func (o *Overlay) UnmarshalNode(n strictyaml.Node) error {
	if n.Kind() != strictyaml.Map {
		return n.Errorf("not a map -- write configuration keys below it")
	}
	v, ok := generic(n).(map[string]any)
	if !ok {
		return n.Errorf("not a map")
	}
	*o = v
	return nil
}

// ParseOverlay reads YAML text as an overlay, for example a whole configuration.
func ParseOverlay(name string, data []byte) (Overlay, error) {
	doc, err := strictyaml.Parse(name, data)
	if err != nil {
		return nil, err
	}
	v, ok := generic(doc.Root()).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s: not a map", name)
	}
	return v, nil
}

func generic(n strictyaml.Node) any {
	switch n.Kind() {
	case strictyaml.Map:
		out := map[string]any{}
		for _, k := range n.Keys() {
			child, _ := n.Get(k)
			out[k] = generic(child)
		}
		return out
	case strictyaml.List:
		out := []any{}
		for _, item := range n.Items() {
			out = append(out, generic(item))
		}
		return out
	case strictyaml.Scalar:
		return scalar(n.Text())
	case strictyaml.Null:
	}
	return nil
}

// scalar keeps the look of plain numbers and booleans, so that they are written
// again as they were read.
func scalar(s string) any {
	if s == "true" || s == "false" {
		return s == "true"
	}
	if i, err := strconv.Atoi(s); err == nil && strconv.Itoa(i) == s {
		return i
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && strconv.FormatFloat(f, 'f', -1, 64) == s {
		return f
	}
	return s
}

// Merge returns base changed by over: maps merge by key, a null deletes, lists of
// named things merge by name (the overlay may write them as a map by name), and
// everything else is replaced.
func (o Overlay) Merge(over Overlay) Overlay {
	return mergeMaps(o, over, false)
}

// Then returns one overlay that changes what o and then over would change: its
// nulls stay, so that they delete in what it is laid over.
func (o Overlay) Then(over Overlay) Overlay {
	return mergeMaps(o, over, true)
}

// YAML writes the overlay as YAML text.
func (o Overlay) YAML() ([]byte, error) {
	b, err := yaml.Marshal(map[string]any(o))
	if err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return b, nil
}

func mergeMaps(base, over map[string]any, keep bool) map[string]any {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range over {
		switch {
		case v == nil && keep:
			out[k] = nil
		case v == nil:
			delete(out, k)
		default:
			out[k] = mergeAny(out[k], v, keep)
		}
	}
	return out
}

func mergeAny(base, over any, keep bool) any {
	switch b := base.(type) {
	case map[string]any:
		if o, ok := over.(map[string]any); ok {
			return mergeMaps(b, o, keep)
		}
	case []any:
		if named, ok := byName(over); ok && allNamed(b) {
			return mergeNamed(b, named, keep)
		}
	}
	return over
}

type namedItem struct {
	name  string
	value map[string]any // nil deletes
}

// byName reads a map by name, or a list of maps with names, as named items.
func byName(v any) ([]namedItem, bool) {
	var out []namedItem
	switch v := v.(type) {
	case map[string]any:
		for name, item := range v {
			m, ok := item.(map[string]any)
			if !ok && item != nil {
				return nil, false
			}
			out = append(out, namedItem{name, m})
		}
		return out, true
	case []any:
		for _, item := range v {
			m, ok := item.(map[string]any)
			name, named := m["name"].(string)
			if !ok || !named {
				return nil, false
			}
			out = append(out, namedItem{name, m})
		}
		return out, len(out) > 0
	}
	return nil, false
}

func allNamed(list []any) bool {
	_, ok := byName(list)
	return ok
}

func mergeNamed(base []any, over []namedItem, keep bool) []any {
	var out []any
	left := map[string]namedItem{}
	for _, o := range over {
		left[o.name] = o
	}
	for _, item := range base {
		m, _ := item.(map[string]any)
		name, _ := m["name"].(string)
		o, changed := left[name]
		delete(left, name)
		switch {
		case !changed:
			out = append(out, item)
		case o.value != nil:
			out = append(out, mergeMaps(m, o.value, keep))
		}
	}
	for _, o := range over { // new ones, in the order they were written
		if _, fresh := left[o.name]; fresh && o.value != nil {
			out = append(out, mergeMaps(map[string]any{"name": o.name}, o.value, keep))
		}
	}
	return out
}

// FreshKey is the key of an overlay that starts every appliance (true), or those of a
// list, with no more than its name, its role and the address of its WebUI: no service,
// no peer, no secret. The overlay's other keys are laid over that.
const FreshKey = "fresh"

// Fresh reports whether the overlay starts that node fresh, and returns the overlay
// without the key.
func (o Overlay) Fresh(node string) (rest Overlay, fresh bool) {
	rest = maps.Clone(o)
	delete(rest, FreshKey)
	switch v := o[FreshKey].(type) {
	case bool:
		return rest, v
	case []any:
		return rest, slices.Contains(v, any(node))
	}
	return rest, false
}
