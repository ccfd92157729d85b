package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// NodeUnmarshaler is implemented by types that decode themselves, for example
// because their shape depends on a key. The error may be an [Error], an [Errors]
// or a plain one, which is then located at the node.
type NodeUnmarshaler interface{ UnmarshalNode(Node) error }

// Decode parses data and decodes it into out, a non-nil pointer. Both kinds of
// error are [Errors]. What could be decoded is in out even then, and the document
// is returned whenever the text was YAML, so that a validator can go on and report
// the rest of the mistakes too.
func Decode(name string, data []byte, out any) (*Doc, error) {
	doc, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	return doc, doc.Decode(out)
}

// Decode decodes the whole document into out, a non-nil pointer. The error, if
// any, is an [Errors].
func (d *Doc) Decode(out any) error { return d.Root().Decode(out) }

// Decode decodes the node into out, a non-nil pointer. The error, if any, is an
// [Errors].
func (n Node) Decode(out any) error {
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("decode %s: want a non-nil pointer, got %T", n.path, out)
	}
	d := decoder{doc: n.doc}
	y := n.y
	if y == nil {
		y = &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	}
	d.value(y, v.Elem(), n.path)
	return d.errs.Or()
}

type decoder struct {
	doc   *Doc
	errs  Errors
	nodes int
	depth int
}

// fail records a mistake at n. Text after " -- " is the hint.
func (d *decoder) fail(n *yaml.Node, path, format string, args ...any) {
	msg, hint, _ := strings.Cut(fmt.Sprintf(format, args...), " -- ")
	d.errs = append(d.errs, d.doc.errorAt(n.Line, n.Column, path, msg, hint))
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style&yaml.TaggedStyle == 0
}

// value decodes n into v, which is addressable.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	at := n
	n = resolve(n)
	if !d.enter(at, n, path) {
		return
	}
	defer func() { d.depth-- }()
	if v.Type() == reflect.TypeFor[Node]() {
		v.Set(reflect.ValueOf(Node{doc: d.doc, y: n, path: path}))
		return
	}
	if isNull(n) {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path)
		return
	}
	if u, ok := reflect.TypeAssert[NodeUnmarshaler](v.Addr()); ok {
		d.custom(n, u, path)
		return
	}
	if d.scalar(n, v, path) {
		return
	}
	d.collection(n, v, path)
}

// enter enforces the bounds and refuses what would make the text mean something
// other than it shows.
func (d *decoder) enter(at, n *yaml.Node, path string) bool {
	if n == nil {
		d.fail(at, path, "the alias leads nowhere")
		return false
	}
	d.nodes++
	if d.nodes > MaxNodes {
		if d.nodes == MaxNodes+1 {
			d.fail(at, path, "more than %d values -- use fewer aliases", MaxNodes)
		}
		return false
	}
	if d.depth >= MaxDepth {
		d.fail(at, path, "nested more than %d levels deep", MaxDepth)
		return false
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.fail(at, path, "the tag %s is not supported -- remove it; quote the value to make it text", n.Tag)
		return false
	}
	d.depth++
	return true
}

func (d *decoder) custom(n *yaml.Node, u NodeUnmarshaler, path string) {
	err := u.UnmarshalNode(Node{doc: d.doc, y: n, path: path})
	if err == nil {
		return
	}
	if many, ok := errors.AsType[Errors](err); ok {
		d.errs = append(d.errs, many...)
		return
	}
	if one, ok := errors.AsType[Error](err); ok {
		d.errs = append(d.errs, one)
		return
	}
	d.fail(n, path, "%s", err.Error())
}

func (d *decoder) collection(n *yaml.Node, v reflect.Value, path string) {
	decode, ok := map[reflect.Kind]func(*yaml.Node, reflect.Value, string){
		reflect.Slice: d.list, reflect.Map: d.mapping, reflect.Struct: d.structure,
	}[v.Kind()]
	if !ok {
		d.fail(n, path, "the program cannot decode into %s", v.Type())
		return
	}
	decode(n, v, path)
}

func (d *decoder) list(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		hint := ""
		if n.Kind == yaml.ScalarNode {
			hint = fmt.Sprintf(" -- write [%s]", n.Value)
		}
		d.fail(n, path, "wants a list, got %s%s", describe(n), hint)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if v.Type().Key().Kind() != reflect.String {
		d.fail(n, path, "the program cannot decode into %s", v.Type())
		return
	}
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "wants a map, got %s", describe(n))
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	d.entries(n, path, func(key, item *yaml.Node) {
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(item, e, join(path, key.Value))
		out.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), e)
	})
	v.Set(out)
}

func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "wants keys and values, got %s -- known keys: %s", describe(n), strings.Join(fieldsOf(v.Type()).names, ", "))
		return
	}
	fields := fieldsOf(v.Type())
	var seen, excused []string
	d.entries(n, path, func(key, item *yaml.Node) {
		f, ok := fields.byName[key.Value]
		if !ok {
			excused = append(excused, d.unknown(key, path, fields.names))
			return
		}
		if r := resolve(item); r == nil || !isNull(r) {
			seen = append(seen, key.Value)
		}
		d.value(item, v.FieldByIndex(f.index), join(path, key.Value))
	})
	for _, name := range fields.required {
		// A misspelt key has been reported already: do not also miss the right one.
		if !slices.Contains(seen, name) && !slices.Contains(excused, name) {
			d.fail(n, path, "%s is missing -- add %q", name, name+": …")
			d.errs[len(d.errs)-1].Missing = name
		}
	}
}

// entries calls yield for every pair with a usable, unrepeated key.
func (d *decoder) entries(n *yaml.Node, path string, yield func(key, item *yaml.Node)) {
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if !d.usableKey(key, path) {
			continue
		}
		if line, twice := seen[key.Value]; twice {
			d.fail(key, join(path, key.Value), "written twice, first in line %d -- keep one", line)
			continue
		}
		seen[key.Value] = key.Line
		yield(key, n.Content[i+1])
	}
}

func (d *decoder) usableKey(key *yaml.Node, path string) bool {
	switch {
	case key.Kind != yaml.ScalarNode:
		d.fail(key, path, "a key must be plain text, got %s", describe(key))
	case key.Style&yaml.TaggedStyle != 0:
		d.fail(key, path, "the tag %s is not supported -- remove it", key.Tag)
	case key.Tag == "!!merge" || key.Value == "<<":
		d.fail(key, path, "merge keys are not supported -- write the keys out")
	default:
		return true
	}
	return false
}

// unknown reports a key that the struct does not have and returns the name that
// was probably meant.
func (d *decoder) unknown(key *yaml.Node, path string, names []string) (meant string) {
	meant = Nearest(key.Value, names)
	if meant != "" {
		d.fail(key, join(path, key.Value), "unknown key %q -- did you mean %q?", key.Value, meant)
		return meant
	}
	d.fail(key, join(path, key.Value), "unknown key %q -- known keys: %s", key.Value, strings.Join(names, ", "))
	return ""
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
