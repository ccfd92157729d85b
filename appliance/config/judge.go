package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

// merge puts the given fields over the others. A key that the schema does not have is a
// mistake.
func merge(was, given Fields, schema reflect.Type) (Fields, error) {
	known := map[string]bool{}
	for _, key := range leaves(schema, "") {
		key = strings.TrimSuffix(strings.TrimPrefix(key, "."), "[]") // a list of plain values is one field
		known[key] = !strings.HasPrefix(key, keyReals)
	}
	wrong := FieldsError{}
	all := Fields{}
	maps.Copy(all, was)
	for key, text := range given {
		switch pattern, ok := patternOf(key); {
		case !ok || !known[pattern]:
			wrong[key] = "there is no such setting"
			names := slices.DeleteFunc(slices.Sorted(maps.Keys(known)), func(k string) bool { return !known[k] })
			if near := strictyaml.Nearest(pattern, names); near != "" {
				wrong[key] += fmt.Sprintf(": did you mean %q?", strings.Replace(near, "[]", "[0]", 1))
			}
		case !utf8.ValidString(text):
			wrong[key] = fmt.Sprintf("%q is no text: use UTF-8", text)
		case key == keyExpect:
			all[key] = text // the answer may begin with a blank
		default:
			all[key] = strings.TrimSpace(text)
		}
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return all, nil
}

// keyExpect is the one setting whose blanks at the ends are part of it.
const keyExpect = "check.expect.value"

// patternOf turns "heartbeat[1].name" into "heartbeat[].name". ok is false if an index
// is spelt so that two keys could mean the same, or is too high.
func patternOf(key string) (pattern string, ok bool) {
	ok = true
	pattern = regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllStringFunc(key, func(index string) string {
		text := strings.Trim(index, "[]")
		n, err := strconv.Atoi(text)
		ok = ok && err == nil && strconv.Itoa(n) == text && n >= 0 && n < maxItems
		return "[]"
	})
	return pattern, ok
}

// tree turns fields into what JSON makes a document of; values have the type that the
// schema wants where their text is one of it, and stay text where it is not, so that
// reading them tells the mistake.
func tree(f Fields, schema reflect.Type) map[string]any {
	out := map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if f[key] != "" {
			plant(out, strings.Split(key, "."), f[key], schema)
		}
	}
	return out
}

// plant puts one value at its place.
func plant(at map[string]any, path []string, text string, schema reflect.Type) {
	name, index, indexed := strings.Cut(strings.TrimSuffix(path[0], "]"), "[")
	inner := fieldType(schema, name)
	switch {
	case len(path) == 1:
		at[name] = typed(text, inner)
		return
	case indexed:
		n, err := strconv.Atoi(index)
		list, _ := at[name].([]any)
		if err != nil {
			return // cannot be: merge has looked
		}
		for len(list) <= n {
			list = append(list, map[string]any{})
		}
		at[name] = list
		item, _ := list[n].(map[string]any)
		plant(item, path[1:], text, inner.Elem())
		return
	}
	below, ok := at[name].(map[string]any)
	if !ok {
		below = map[string]any{}
		at[name] = below
	}
	plant(below, path[1:], text, inner)
}

// maxItems bounds the items of a list of objects in fields.
const maxItems = 64

// fieldType is the type of a key, without the pointer.
func fieldType(t reflect.Type, name string) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for f := range t.Fields() {
		if keyName(f) == name {
			if f.Type.Kind() == reflect.Pointer {
				return f.Type.Elem()
			}
			return f.Type
		}
	}
	return reflect.TypeFor[string]()
}

// typed is a text as a value of the type, where it is one.
func typed(text string, t reflect.Type) any {
	switch {
	case t.Kind() == reflect.Slice:
		list := []any{}
		for item := range strings.SplitSeq(text, ",") {
			list = append(list, typed(strings.TrimSpace(item), t.Elem()))
		}
		return list
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return text
	case t.Kind() == reflect.Bool && (text == "true" || text == "false"):
		return text == "true"
	case isNumber(t.Kind()) && regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`).MatchString(text):
		return json.Number(text)
	}
	return text
}

func isNumber(k reflect.Kind) bool {
	return k >= reflect.Int && k <= reflect.Float64
}

// judge reads a document, to which a node is added if it has none, and returns the
// mistakes below prefix, at those of the fields that they concern, but those at the keys
// of except.
func judge(doc map[string]any, prefix string, fields Fields, schema reflect.Type, except ...string) (lb.Config, error) {
	if doc["node"] == nil {
		doc["node"] = map[string]any{"name": "node"}
	}
	text, err := write(doc)
	if err != nil {
		return lb.Config{}, err
	}
	cfg, decoding, judging := read("settings", text)
	wrong := FieldsError{}
	for _, m := range complete(strictyaml.Join(decoding, judging)) {
		key, own := strings.CutPrefix(m.Key(), prefix)
		switch {
		case m.Key() == "": // the text as a whole cannot be read
			key = ""
		case m.Key() == strings.TrimRight(prefix, "."):
			key = ""
		case !own || strings.HasPrefix(key, keyReals) || slices.Contains(except, m.Key()):
			continue // of another object
		default:
			key = fieldOf(key, fields, schema)
		}
		if _, twice := wrong[key]; !twice {
			wrong[key] = message(m)
		}
	}
	if len(wrong) > 0 {
		return lb.Config{}, wrong
	}
	return cfg, nil
}

// write makes a text of a document. Every JSON document is one of YAML too, but YAML
// takes some characters for line ends and refuses others: they are escaped.
func write(doc map[string]any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil {
		return nil, fmt.Errorf("write the settings down: %w", err)
	}
	var out bytes.Buffer
	for _, c := range b.String() {
		if c < 0x7f {
			out.WriteRune(c)
			continue
		}
		fmt.Fprintf(&out, `\U%08X`, c)
	}
	return out.Bytes(), nil
}

// message is a mistake as a form tells it.
func message(m strictyaml.Error) string {
	switch {
	case m.Missing != "":
		return "is missing"
	case m.Hint == "remove the quotes": // they are ours: a form has none
		return strings.Replace(m.Msg, "the text ", "", 1)
	case m.Hint != "":
		return m.Msg + ": " + m.Hint
	}
	return m.Msg
}

// fieldOf finds the field at which a form tells a mistake. One in an item of a list of
// plain values is the list's; one in a part belongs to what was written below it, or
// else could be.
func fieldOf(key string, fields Fields, schema reflect.Type) string {
	all := leaves(schema, "")
	is := func(key string) bool {
		return slices.ContainsFunc(all, func(k string) bool {
			return strings.TrimSuffix(strings.TrimPrefix(k, "."), "[]") == general(key)
		})
	}
	if list := strings.TrimRight(strings.TrimSuffix(key, "]"), "0123456789"); strings.HasSuffix(list, "[") && is(list[:len(list)-1]) {
		return list[:len(list)-1]
	}
	if is(key) {
		return key
	}
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		if fields[k] != "" && strings.HasPrefix(k, key+".") {
			return k
		}
	}
	for _, k := range all {
		if rest, ok := strings.CutPrefix(strings.TrimPrefix(k, "."), general(key)+"."); ok {
			return key + "." + rest
		}
	}
	return key
}
