package scenario

import (
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/vosbed/vosbed/harness/browser"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/harness/traffic"
)

// Schema returns the language as a JSON Schema (draft 7, which editors know), for
// completion and checking while one writes. Load checks more.
func Schema() ([]byte, error) {
	r := jsonschema.Reflector{
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, Anonymous: true,
		Mapper: special,
		Namer:  qualified,
	}
	s := r.Reflect(&Scenario{})
	s.Version = "http://json-schema.org/draft-07/schema#"
	spec := s.Definitions["topo.Spec"]
	for _, key := range []string{"nodes", "networks"} {
		if p, ok := spec.Properties.Get(key); ok { // a null deletes
			p.AdditionalProperties = &jsonschema.Schema{AnyOf: []*jsonschema.Schema{p.AdditionalProperties, {Type: "null"}}}
		}
	}
	offer(s, "traffic.Spec", "kind", keys(traffic.Kinds()))
	offer(s, "topo.Node", "kind", []any{topo.KindAppliance, topo.KindSimVOS, topo.KindClients, topo.KindRouter, topo.KindHAProxy})
	offer(s, "scenario.Fault", "kind", keys(FaultKinds()))
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(b, '\n'), nil
}

// qualified tells types of equal name in different packages apart.
func qualified(t reflect.Type) string {
	if t.Name() == "" || t.PkgPath() == "" {
		return ""
	}
	return path.Base(t.PkgPath()) + "." + t.Name()
}

// offer lists the values that a key may have.
func offer(s *jsonschema.Schema, definition, key string, values []any) {
	if p, ok := s.Definitions[definition].Properties.Get(key); ok {
		p.Enum = values
	}
}

func keys[V any](m map[string]V) []any {
	var names []string
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	out := make([]any, len(names))
	for i, n := range names {
		out[i] = n
	}
	return out
}

// special gives the types whose YAML is not their Go shape.
func special(t reflect.Type) *jsonschema.Schema {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`}
	case reflect.TypeFor[Overlay](), reflect.TypeFor[browser.Fields]():
		return &jsonschema.Schema{Type: "object"}
	case reflect.TypeFor[browser.Cells]():
		return &jsonschema.Schema{Type: "array"}
	}
	return nil
}
