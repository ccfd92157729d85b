package config

import (
	"encoding"
	"reflect"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Scope says whose a setting is.
type Scope int

// Scopes (guide 14.1.1). NodeScope settings are never copied to the peer.
const (
	NodeScope Scope = iota
	ClusterScope
)

// String returns "node" or "cluster".
func (s Scope) String() string {
	if s == ClusterScope {
		return "cluster"
	}
	return "node"
}

// Key is one key of the file. Path has [] for the items of a list:
// "services[].real_servers[].weight".
type Key struct {
	Path  string
	Scope Scope
}

// Scopes returns every key that holds a value, in the order of the schema. The
// scope is a tag of the schema itself, so no key can be without.
func Scopes() []Key {
	var keys []Key
	for f := range reflect.TypeFor[file]().Fields() {
		scope := NodeScope
		if f.Tag.Get("scope") == ClusterScope.String() {
			scope = ClusterScope
		}
		for _, path := range leaves(f.Type, keyName(f)) {
			keys = append(keys, Key{path, scope})
		}
	}
	return keys
}

// ScopeOf returns the scope of a key such as "services[0].ports" or of a part such
// as "node". ok is false if there is no such key.
func ScopeOf(path string) (scope Scope, ok bool) {
	path = general(path)
	i := slices.IndexFunc(Scopes(), func(k Key) bool {
		rest, under := strings.CutPrefix(k.Path, path)
		return under && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
	if i < 0 || path == "" {
		return 0, false
	}
	return Scopes()[i].Scope, true
}

// general turns "services[3].ports" into "services[].ports".
func general(path string) string {
	var b strings.Builder
	inside := false
	for _, c := range path {
		switch {
		case c == '[':
			inside = true
			b.WriteString("[]")
		case c == ']':
			inside = false
		case !inside:
			b.WriteRune(c)
		}
	}
	return b.String()
}

func keyName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

// leaves lists the keys below a type that hold plain values.
func leaves(t reflect.Type, path string) []string {
	if t.Kind() == reflect.Pointer {
		return leaves(t.Elem(), path)
	}
	if t.Kind() == reflect.Slice {
		return leaves(t.Elem(), path+"[]")
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return []string{path}
	}
	var all []string
	for f := range t.Fields() {
		all = append(all, leaves(f.Type, path+"."+keyName(f))...)
	}
	return all
}

// WithCluster returns local with the cluster-scope part of shared: what a node
// makes of its peer's configuration.
func WithCluster(local, shared lb.Config) lb.Config {
	shared.Node = local.Node
	return shared
}
