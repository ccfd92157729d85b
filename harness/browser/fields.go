package browser

import (
	yaml "go.yaml.in/yaml/v4"

	"github.com/vosbed/vosbed/internal/strictyaml"
)

// Field is a label and what the field holds, or shall hold.
type Field struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// Fields are fields in the order in which they are filled: one may bring the next
// about. In YAML they are a map; a null is an empty field.
type Fields []Field

// Labels returns the labels, in order.
func (f Fields) Labels() []string {
	out := make([]string, len(f))
	for i := range f {
		out[i] = f[i].Label
	}
	return out
}

// UnmarshalNode takes a map of scalars.
func (f *Fields) UnmarshalNode(n strictyaml.Node) error {
	if n.Kind() != strictyaml.Map {
		return n.Errorf("not a map -- write for example {Label: HM1, Weight: 100}")
	}
	*f = Fields{}
	for _, label := range n.Keys() {
		v, _ := n.Get(label)
		if v.Kind() != strictyaml.Scalar && v.Kind() != strictyaml.Null {
			return v.Errorf("a field holds text, a number, true or false")
		}
		*f = append(*f, Field{Label: label, Value: v.Text()})
	}
	return nil
}

// MarshalYAML writes the map again, in order.
func (f Fields) MarshalYAML() (any, error) {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, field := range f {
		out.Content = append(out.Content, quoted(field.Label), quoted(field.Value))
	}
	return out, nil
}

func quoted(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: yaml.DoubleQuotedStyle}
}

// Cells are texts of table cells. In YAML a number need not be quoted.
type Cells []string

// UnmarshalNode takes a list of scalars.
func (c *Cells) UnmarshalNode(n strictyaml.Node) error {
	if n.Kind() != strictyaml.List {
		return n.Errorf("not a list -- write for example [HM1, 192.168.94.105, 100]")
	}
	*c = Cells{}
	for _, item := range n.Items() {
		if item.Kind() != strictyaml.Scalar {
			return item.Errorf("a cell is a text or a number")
		}
		*c = append(*c, item.Text())
	}
	return nil
}
