package strictyaml

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Kind is the shape of a node.
type Kind int

// Kinds of nodes. Null is a key without a value, or nothing at all.
const (
	Null Kind = iota
	Scalar
	List
	Map
)

// Node is one undecoded value. A struct field of this type takes whatever is
// written, for languages whose shape depends on a key; decode it later with
// [Node.Decode], which reports positions and paths as usual.
type Node struct {
	doc  *Doc
	y    *yaml.Node
	path string
}

// IsZero reports whether nothing was written here.
func (n Node) IsZero() bool { return n.y == nil }

// Kind returns the shape of the node.
func (n Node) Kind() Kind {
	y := resolve(n.y)
	switch {
	case y == nil || isNull(y):
		return Null
	case y.Kind == yaml.SequenceNode:
		return List
	case y.Kind == yaml.MappingNode:
		return Map
	}
	return Scalar
}

// Text returns a scalar as it is written, "" for anything else.
func (n Node) Text() string {
	if n.Kind() != Scalar {
		return ""
	}
	return resolve(n.y).Value
}

// Path returns where the node stands, such as "steps[3].kill".
func (n Node) Path() string { return n.path }

// Pos returns the node's position, from 1.
func (n Node) Pos() (line, col int) {
	if n.y == nil {
		return 1, 1
	}
	return n.y.Line, n.y.Column
}

// Keys returns the keys of a map in the order they are written.
func (n Node) Keys() []string {
	if n.Kind() != Map {
		return nil
	}
	y := resolve(n.y)
	keys := make([]string, 0, len(y.Content)/2)
	for i := 0; i+1 < len(y.Content); i += 2 {
		keys = append(keys, y.Content[i].Value)
	}
	return keys
}

// Get returns the value of a key. ok is false if the key is not written.
func (n Node) Get(key string) (value Node, ok bool) {
	if n.Kind() != Map {
		return Node{}, false
	}
	y := child(n.y, key)
	return Node{doc: n.doc, y: y, path: join(n.path, key)}, y != nil
}

// Items returns the items of a list.
func (n Node) Items() []Node {
	if n.Kind() != List {
		return nil
	}
	y := resolve(n.y)
	items := make([]Node, len(y.Content))
	for i, item := range y.Content {
		items[i] = Node{doc: n.doc, y: item, path: fmt.Sprintf("%s[%d]", n.path, i)}
	}
	return items
}

// Errorf makes an error located at the node. Text after " -- " becomes the hint.
func (n Node) Errorf(format string, args ...any) Error {
	msg, hint, _ := strings.Cut(fmt.Sprintf(format, args...), " -- ")
	line, col := n.Pos()
	if n.doc == nil {
		return Error{Line: line, Col: col, Path: n.path, Msg: msg, Hint: hint}
	}
	return n.doc.errorAt(line, col, n.path, msg, hint)
}
