package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/vosbed/vosbed/appliance/lb"
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
	case v.Kind() == reflect.Float64: // never with an exponent, which no form takes
		f[key] = strconv.FormatFloat(v.Float(), 'f', -1, 64)
	default:
		f[key] = fmt.Sprint(v.Interface())
	}
}

// isText says whether a type is written as one word.
func isText(t reflect.Type) bool { return t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) }

func isObject(t reflect.Type) bool { return t.Kind() == reflect.Struct && !isText(t) }
