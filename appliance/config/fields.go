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

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

// Fields are the settings of one object as text, by their keys in the file below it:
// "check.port". What is "" is left out, and its default holds. Lists of plain values
// are separated by commas; items of other lists have an index: "heartbeat[0].local".
type Fields map[string]string

// FieldsError are the mistakes in fields: by key, what is wrong and what to do. What
// belongs to no single one has the key "".
type FieldsError map[string]string

// Error lists them by key, one a line.
func (e FieldsError) Error() string {
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(e)) {
		lines = append(lines, strings.TrimPrefix(key+": "+e[key], ": "))
	}
	return strings.Join(lines, "\n")
}

// ServiceFields are the settings of a service but its real servers, every key of them.
func ServiceFields(s lb.VirtualService) Fields {
	out := flat(serviceToFile(s))
	for key := range out {
		if strings.HasPrefix(key, keyReals) {
			delete(out, key)
		}
	}
	return out
}

// RealFields are the settings of a real server.
func RealFields(r lb.RealServer) Fields {
	return flat(serviceToFile(lb.VirtualService{Reals: []lb.RealServer{r}}).RealServers[0])
}

// NodeFields are the settings of a node.
func NodeFields(n lb.Node) Fields { return flat(nodeToFile(n)) }

// ClusterFields are the settings that the pair shares, but for the services.
func ClusterFields(c lb.Cluster) Fields { return flat(clusterToFile(c)) }

// flat turns a value of a file type into fields.
func flat(v any) Fields {
	out := Fields{}
	out.add("", reflect.ValueOf(v))
	return out
}

func (f Fields) add(key string, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v = reflect.Zero(v.Type().Elem())
			if v.Kind() != reflect.Struct {
				f[key] = ""
				return
			}
		} else {
			v = v.Elem()
		}
	}
	switch {
	case isText(v.Type()):
		text, _ := v.Interface().(encoding.TextMarshaler).MarshalText()
		f[key] = string(text)
	case v.Kind() == reflect.Struct:
		for name, value := range v.Fields() {
			f.add(strings.TrimPrefix(key+"."+keyName(name), "."), value)
		}
	case v.Kind() == reflect.Slice && isObject(v.Type().Elem()):
		for i := range v.Len() {
			f.add(fmt.Sprintf("%s[%d]", key, i), v.Index(i))
		}
	case v.Kind() == reflect.Slice:
		var items []string
		for i := range v.Len() {
			item := Fields{}
			item.add("", v.Index(i))
			items = append(items, item[""])
		}
		f[key] = strings.Join(items, ",")
	default:
		f[key] = fmt.Sprint(v.Interface())
	}
}

// isText says whether a type is written as one word.
func isText(t reflect.Type) bool { return t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) }

func isObject(t reflect.Type) bool { return t.Kind() == reflect.Struct && !isText(t) }

// SetService changes the fields that are given; the zero value is a new service. A
// service without real servers is a step on the way. The error is a [FieldsError].
func SetService(old lb.VirtualService, f Fields) (lb.VirtualService, error) {
	was := Fields{}
	if old.Name != "" || old.Addr.IsValid() {
		was = ServiceFields(old)
		follow(was, f)
	}
	all, err := merge(was, f, reflect.TypeFor[serviceFile]())
	if err != nil {
		return old, err
	}
	cfg, err := judge(map[string]any{"services": []any{tree(all, reflect.TypeFor[serviceFile]())}}, "services[0].")
	if err != nil {
		return old, err
	}
	next := cfg.Services[0]
	next.Reals = old.Reals
	return next, nil
}

// follow forgets what was only the default of another layer or kind of check.
func follow(was, f Fields) {
	forget := func(key string, below ...string) {
		if now, given := f[key]; !given || now == was[key] {
			return
		}
		for k := range was {
			if slices.ContainsFunc(below, func(b string) bool { return k == b || strings.HasPrefix(k, b+".") }) {
				delete(was, k)
			}
		}
	}
	forget("layer", "method", "scheduler", "proxy", "persistence.timeout", "check.through_vip")
	forget("check.type", "check")
}

// SetReal changes a real server of a service; the zero value is a new one.
func SetReal(s lb.VirtualService, old lb.RealServer, f Fields) (lb.RealServer, error) {
	was := Fields{}
	if old.Name != "" || old.Addr.IsValid() {
		was = RealFields(old)
	}
	all, err := merge(was, f, reflect.TypeFor[realFile]())
	if err != nil {
		return old, err
	}
	service := tree(ServiceFields(s), reflect.TypeFor[serviceFile]())
	service[keyReals] = []any{tree(all, reflect.TypeFor[realFile]())}
	cfg, err := judge(map[string]any{"services": []any{service}}, "services[0]."+keyReals+"[0].")
	if err != nil {
		return old, err
	}
	return cfg.Services[0].Reals[0], nil
}

// SetNode changes settings of a node. What concerns the cluster too is not judged here.
func SetNode(old lb.Node, f Fields) (lb.Node, error) {
	all, err := merge(NodeFields(old), f, reflect.TypeFor[nodeFile]())
	if err != nil {
		return old, err
	}
	doc := map[string]any{"node": tree(all, reflect.TypeFor[nodeFile]())}
	for key, text := range all {
		if text != "" && (strings.HasPrefix(key, "heartbeat[") || strings.HasPrefix(key, "replication.")) {
			doc["cluster"] = map[string]any{"paired": true, "secret_file": "/", "replicate": false}
		}
	}
	cfg, err := judge(doc, "node.")
	if err != nil {
		return old, err
	}
	return cfg.Node, nil
}

// SetCluster changes settings that the pair shares.
func SetCluster(old lb.Cluster, f Fields) (lb.Cluster, error) {
	all, err := merge(ClusterFields(old), f, reflect.TypeFor[clusterFile]())
	if err != nil {
		return old, err
	}
	cfg, err := judge(map[string]any{"cluster": tree(all, reflect.TypeFor[clusterFile]())}, "cluster.")
	if err != nil {
		return old, err
	}
	return cfg.Cluster, nil
}

// merge puts the given fields over the others. A key that the schema does not have is a
// mistake.
func merge(was, given Fields, schema reflect.Type) (Fields, error) {
	known := map[string]bool{}
	for _, key := range leaves(schema, "") {
		known[strings.TrimPrefix(key, ".")] = true
	}
	wrong := FieldsError{}
	all := maps.Clone(was)
	for key, text := range given {
		pattern := general(key)
		if !known[pattern] && !known[pattern+"[]"] || strings.HasPrefix(pattern, keyReals) {
			wrong[key] = "there is no such setting"
			if near := strictyaml.Nearest(key, slices.Sorted(maps.Keys(known))); near != "" {
				wrong[key] += fmt.Sprintf(": did you mean %q?", near)
			}
			continue
		}
		all[key] = strings.TrimSpace(text)
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	return all, nil
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
		if err != nil || n < 0 || n > maxItems {
			return
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
// mistakes below prefix, by what follows it.
func judge(doc map[string]any, prefix string) (lb.Config, error) {
	if doc["node"] == nil {
		doc["node"] = map[string]any{"name": "node"}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b) // every JSON document is one of YAML too
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil {
		return lb.Config{}, fmt.Errorf("write the settings down: %w", err)
	}
	cfg, decoding, judging := read("settings", b.Bytes())
	wrong := FieldsError{}
	for _, m := range complete(strictyaml.Join(decoding, judging)) {
		key, own := strings.CutPrefix(m.Key(), prefix)
		if !own && m.Key() != strings.TrimRight(prefix, ".") {
			continue
		}
		if !own {
			key = ""
		}
		text := m.Msg
		switch {
		case m.Missing != "":
			text = "is missing"
		case m.Hint == "remove the quotes": // they are ours: a form has none
			text = strings.Replace(text, "the text ", "", 1)
		case m.Hint != "":
			text += ": " + m.Hint
		}
		if _, twice := wrong[key]; !twice {
			wrong[key] = text
		}
	}
	if len(wrong) > 0 {
		return lb.Config{}, wrong
	}
	return cfg, nil
}
