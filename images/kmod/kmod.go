// Package kmod knows kernel modules: what one needs, which hardware it serves, and in
// which order to load them. The builder reads it from the modules themselves, so that no
// depmod is needed, and leaves an [Index] in the image; the running system loads by that.
package kmod

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Module is one kernel module.
type Module struct {
	Name string `json:"name"` // with underscores
	Path string `json:"path"` // absolute
	// Deps are the modules that it needs; Soft those that it asks for at run time only
	// ("softdep pre"), which modules.dep omits: ext4 does not mount without crc32c.
	Deps    []string `json:"deps,omitempty"`
	Soft    []string `json:"soft,omitempty"`
	Aliases []string `json:"aliases,omitempty"` // patterns of hardware, and other names
}

// Name is a module's name from its path: file names have dashes where names have not.
func Name(at string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(at), ".ko"), "-", "_")
}

// Parse reads what a module says of itself (its .modinfo section).
func Parse(at string, data []byte) (Module, error) {
	m := Module{Name: Name(at), Path: at}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return m, fmt.Errorf("read the module %s: %w", at, err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return m, fmt.Errorf("the module %s says nothing of itself", at)
	}
	info, err := section.Data()
	if err != nil {
		return m, fmt.Errorf("read the module %s: %w", at, err)
	}
	for one := range bytes.SplitSeq(info, []byte{0}) {
		key, value, _ := strings.Cut(string(one), "=")
		m.learn(key, value)
	}
	return m, nil
}

func (m *Module) learn(key, value string) {
	switch key {
	case "depends":
		for dep := range strings.SplitSeq(value, ",") {
			if dep != "" {
				m.Deps = append(m.Deps, strings.ReplaceAll(dep, "-", "_"))
			}
		}
	case "alias":
		m.Aliases = append(m.Aliases, value)
	case "softdep":
		before := false
		for word := range strings.FieldsSeq(value) {
			switch word {
			case "pre:":
				before = true
			case "post:":
				before = false
			default:
				if before {
					m.Soft = append(m.Soft, word)
				}
			}
		}
	}
}

// Index is the modules of an image.
type Index struct {
	Modules []Module `json:"modules"`
}

// ParseIndex reads an encoded index.
func ParseIndex(data []byte) (Index, error) {
	var x Index
	if err := json.Unmarshal(data, &x); err != nil {
		return x, fmt.Errorf("read the index of modules: %w", err)
	}
	return x, nil
}

// Encode writes the index.
func (x Index) Encode() ([]byte, error) {
	data, err := json.Marshal(x)
	if err != nil {
		return nil, fmt.Errorf("encode the index of modules: %w", err)
	}
	return data, nil
}

// find returns the module of that name, or that has it as an alias.
func (x Index) find(name string) (Module, bool) {
	plain := strings.ReplaceAll(name, "-", "_")
	for _, m := range x.Modules {
		if m.Name == plain {
			return m, true
		}
	}
	for _, m := range x.Modules {
		if slices.Contains(m.Aliases, name) {
			return m, true
		}
	}
	return Module{}, false
}

// Order returns the modules of those names and all that they need, each after what it
// needs. A name that the index lacks is an error, but for soft needs: those may be built
// into the kernel.
func (x Index) Order(names ...string) ([]Module, error) {
	o := order{index: x, state: map[string]int{}}
	for _, name := range names {
		m, ok := x.find(name)
		if !ok {
			return nil, fmt.Errorf("there is no kernel module %s", name)
		}
		if err := o.visit(m); err != nil {
			return nil, err
		}
	}
	return o.sorted, nil
}

type order struct {
	index  Index
	state  map[string]int // 1 = being visited, 2 = done
	sorted []Module
}

func (o *order) visit(m Module) error {
	switch o.state[m.Name] {
	case 1:
		return fmt.Errorf("kernel modules need each other in a circle at %s", m.Name)
	case 2:
		return nil
	}
	o.state[m.Name] = 1
	for _, dep := range m.Deps {
		need, ok := o.index.find(dep)
		if !ok {
			return fmt.Errorf("the kernel module %s needs %s, which is not there", m.Name, dep)
		}
		if err := o.visit(need); err != nil {
			return err
		}
	}
	for _, dep := range m.Soft {
		if need, ok := o.index.find(dep); ok && o.state[need.Name] == 0 {
			if err := o.visit(need); err != nil {
				return err
			}
		}
	}
	o.state[m.Name] = 2
	o.sorted = append(o.sorted, m)
	return nil
}

// For returns the names of the modules that serve a device, by its "modalias".
func (x Index) For(modalias string) []string {
	var out []string
	for _, m := range x.Modules {
		if slices.ContainsFunc(m.Aliases, func(pattern string) bool { return matches(pattern, modalias) }) {
			out = append(out, m.Name)
		}
	}
	return out
}

// matches is shell pattern matching without the meaning of slashes (fnmatch(3)).
func matches(pattern, text string) bool {
	if !strings.Contains(pattern, ":") {
		return false // another name of the module, no hardware
	}
	// path.Match has no star that crosses a slash, and neither has one in it.
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x01"), strings.ReplaceAll(text, "/", "\x01"))
	return err == nil && ok
}
