// Package strictyaml decodes YAML into Go values the way a person who made a
// mistake needs it: every mistake at once, each with file, line, column, path,
// what was expected and, for a misspelt key, what was probably meant.
//
// It knows nothing of what it decodes. The configuration of the appliance and the
// scenario language of the testbed are both read through it. Semantic validators
// use [Doc.Errorf] to locate their own complaints in the same way.
//
// Values mean what they look like: a string field takes any scalar as it is
// written (so 554:1935, on, no and 0755 stay what they are), numbers are plain
// decimals, booleans are true or false, durations carry a unit. Merge keys,
// explicit tags and several documents in one file are refused.
//
// Struct fields are named by the tag yaml:"name" (the same tag that encoding
// uses) or else by their lower-case name; strict:"required" makes a key
// mandatory; embedded structs without a tag are read in line. A key without a
// value counts as not written. Supported: string, bool, integers, floats,
// [time.Duration], types with UnmarshalText, types with UnmarshalNode, [Node],
// pointers, slices, maps with string keys, structs.
package strictyaml

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds on a document. Configuration files and scenarios are far smaller.
const (
	MaxBytes = 4 << 20 // size of the text
	MaxDepth = 48      // nesting
	MaxNodes = 400_000 // values after aliases are followed
)

// Doc is a parsed document that remembers where everything stands.
type Doc struct {
	name  string
	lines []string
	root  *yaml.Node
}

// Parse reads one YAML document. name is used in messages only. An empty text is
// an empty document. The error, if any, is an [Errors].
func Parse(name string, data []byte) (*Doc, error) {
	d := &Doc{name: name}
	if len(data) > MaxBytes {
		return d, Errors{d.errorAt(1, 1, "", fmt.Sprintf("the text has %d bytes, the limit is %d", len(data), MaxBytes), "")}
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return d, Errors{d.errorAt(1, 1, "", "this is not UTF-8 text", "save the file as UTF-8")}
	}
	d.lines = strings.Split(text, "\n")
	if depth := flowDepth(text); depth > 4*MaxDepth {
		return d, Errors{d.errorAt(1, 1, "", "brackets are nested too deeply", "")}
	}
	docs, err := parseAll(text)
	if err != nil {
		return d, d.syntaxError(err)
	}
	return d, d.setRoot(docs)
}

// parseAll keeps several documents apart, so that a second one can be refused by
// position instead of being ignored.
func parseAll(text string) ([]yaml.Node, error) {
	var docs []yaml.Node
	err := yaml.Load([]byte(text), &docs, yaml.WithAllDocuments(), yaml.WithUniqueKeys(false))
	return docs, err
}

func (d *Doc) setRoot(docs []yaml.Node) error {
	if len(docs) > 1 {
		n := docs[1]
		return Errors{d.errorAt(n.Line, n.Column, "", "a second document starts here", `remove the "---" line: one file holds one document`)}
	}
	if len(docs) == 0 {
		return nil
	}
	root := &docs[0]
	if root.Kind == yaml.DocumentNode && len(root.Content) > 0 {
		root = root.Content[0]
	}
	if root.Kind != yaml.DocumentNode {
		d.root = root
	}
	return nil
}

// flowDepth bounds the nesting that the parser is asked to follow.
func flowDepth(text string) int {
	depth, most := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '[', '{':
			depth++
			most = max(most, depth)
		case ']', '}':
			depth = max(0, depth-1)
		}
	}
	return most
}

func (d *Doc) syntaxError(err error) Errors {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return Errors{d.errorAt(1, 1, "", err.Error(), "")}
	}
	line, col := load.Mark.Line, load.Mark.Column
	if line == 0 {
		line = 1
	}
	msg := "YAML syntax: " + load.Message
	hint := ""
	if line <= len(d.lines) && strings.HasPrefix(strings.TrimLeft(d.lines[line-1], " "), "\t") {
		hint = "indent with spaces, never with tabs"
	}
	return Errors{d.errorAt(line, col+1, "", msg, hint)}
}

// Name returns the name given to Parse.
func (d *Doc) Name() string { return d.name }

// Root returns the whole document as a node.
func (d *Doc) Root() Node { return Node{doc: d, y: d.root} }

// At returns the position (from 1) of the value at a path such as
// "services[1].ports". If nothing is written there it returns the position of the
// nearest part that is.
func (d *Doc) At(path string) (line, col int) {
	n := d.root
	if n == nil {
		return 1, 1
	}
	line, col = n.Line, n.Column
	for _, step := range splitPath(path) {
		n = child(n, step)
		if n == nil {
			break
		}
		line, col = n.Line, n.Column
	}
	return line, col
}

// Has reports whether anything but null is written at the path.
func (d *Doc) Has(path string) bool {
	n := resolve(d.root)
	for _, step := range splitPath(path) {
		n = resolve(child(n, step))
	}
	return n != nil && n.Tag != "!!null"
}

// Errorf makes a located error for what is wrong at path. Text after the last
// " -- " of the formatted message becomes the hint: what to do about it.
func (d *Doc) Errorf(path, format string, args ...any) Error {
	line, col := d.At(path)
	msg, hint, _ := strings.Cut(fmt.Sprintf(format, args...), " -- ")
	return d.errorAt(line, col, path, msg, hint)
}

func (d *Doc) errorAt(line, col int, path, msg, hint string) Error {
	e := Error{File: d.name, Line: max(line, 1), Col: max(col, 1), Path: path, Msg: msg, Hint: hint}
	if e.Line <= len(d.lines) {
		e.Source = strings.TrimRight(d.lines[e.Line-1], "\r")
	}
	return e
}

// splitPath cuts "services[1].ports" into "services", "[1]", "ports". A key that
// holds dots or brackets cannot be addressed; At then names its parent.
func splitPath(path string) []string {
	var steps []string
	for part := range strings.SplitSeq(path, ".") {
		key, rest, _ := strings.Cut(part, "[")
		if key != "" {
			steps = append(steps, key)
		}
		for rest != "" {
			index, more, _ := strings.Cut(rest, "[")
			steps = append(steps, "["+index)
			rest = more
		}
	}
	return steps
}

func child(n *yaml.Node, step string) *yaml.Node {
	n = resolve(n)
	if n == nil {
		return nil
	}
	if index, ok := strings.CutPrefix(step, "["); ok {
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if err != nil || n.Kind != yaml.SequenceNode || i < 0 || i >= len(n.Content) {
			return nil
		}
		return n.Content[i]
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == step {
			return n.Content[i+1]
		}
	}
	return nil
}

// resolve follows an alias to the value it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for range MaxDepth {
		if n == nil || n.Kind != yaml.AliasNode {
			return n
		}
		n = n.Alias
	}
	return nil
}
