package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/vosbed/vosbed/appliance/lb"
)

// SetService changes the fields that are given; the zero value is a new service. A
// service without real servers is a step on the way. The error is a [FieldsError].
// What is wrong with the real servers is not judged here: they have their own forms.
func SetService(old lb.VirtualService, f Fields) (lb.VirtualService, error) {
	schema := reflect.TypeFor[serviceFile]()
	was := Fields{}
	if old.Name != "" || old.Addr.IsValid() {
		was = ServiceFields(old)
		follow(was, f, old)
	}
	all, err := merge(was, f, schema)
	if err != nil {
		return old, err
	}
	service := tree(all, schema)
	for _, r := range old.Reals { // a blank check port may follow theirs
		reals, _ := service[keyReals].([]any)
		service[keyReals] = append(reals, tree(RealFields(r), reflect.TypeFor[realFile]()))
	}
	cfg, err := judge(map[string]any{"services": []any{service}}, "services[0].", all, schema)
	if err != nil {
		return old, err
	}
	next := cfg.Services[0]
	next.Reals = slices.Clone(old.Reals)
	return next, nil
}

// follow forgets what was only a default that another value of a field given changes,
// and what makes no sense beside it.
func follow(was, f Fields, old lb.VirtualService) {
	changes := func(key string) bool {
		now, given := f[key]
		return given && strings.TrimSpace(now) != was[key]
	}
	forget := func(keys ...string) {
		maps.DeleteFunc(was, func(k, _ string) bool {
			return slices.ContainsFunc(keys, func(b string) bool { return k == b || strings.HasPrefix(k, b+".") })
		})
	}
	if changes("layer") {
		// wlc, the default scheduler, is one of both layers; another was chosen, and is
		// refused where the new layer does not have it.
		forget("method", "proxy", "check.through_vip")
		if old.Persistence.Timeout == usualPersistence(old.Layer) {
			forget("persistence.timeout")
		}
	}
	if changes("protocol") && old.Check.Kind.String() == usualCheck(old.Protocols) && was["check.port"] == "" {
		forget("check.type", "check.through_vip")
	}
	if changes("check.type") {
		// A port for one kind is none for another, and a ping has none.
		forget("check.protocol", "check.request", "check.host", "check.expect", "check.port", "check.through_vip")
	}
	if changes("check.interval") && old.Check.Fast == usualFast(old.Check.Interval) {
		forget("check.fast")
	}
	if changes(keyExpect) && was["check.expect.match"] == usualMatch(old.Check.Expect) {
		forget("check.expect.match")
	}
}

// SetReal changes a real server of a service; the zero value is a new one.
func SetReal(s lb.VirtualService, old lb.RealServer, f Fields) (lb.RealServer, error) {
	schema := reflect.TypeFor[realFile]()
	was := Fields{}
	if old.Name != "" || old.Addr.IsValid() {
		was = RealFields(old)
	}
	all, err := merge(was, f, schema)
	if err != nil {
		return old, err
	}
	service := tree(ServiceFields(s), reflect.TypeFor[serviceFile]())
	service[keyReals] = []any{tree(all, schema)}
	cfg, err := judge(map[string]any{"services": []any{service}}, "services[0]."+keyReals+"[0].", all, schema)
	if err != nil {
		return old, err
	}
	return cfg.Services[0].Reals[0], nil
}

// SetNode changes settings of a node; an item of a list whose fields are all "" is
// removed. What concerns the cluster too is not judged here.
func SetNode(old lb.Node, f Fields) (lb.Node, error) {
	schema := reflect.TypeFor[nodeFile]()
	was := Fields{}
	if !reflect.DeepEqual(old, lb.Node{}) {
		was = NodeFields(old)
	}
	all, err := merge(was, f, schema)
	if err != nil {
		return old, err
	}
	all, numbers := pack(all)
	node := tree(all, schema)
	doc := map[string]any{"node": node}
	if node[keyPaths] != nil || node["replication"] != nil {
		doc["cluster"] = map[string]any{"paired": true, "secret_file": "/", "replicate": false}
	}
	// Whether a pair has all that it needs is for the whole configuration to say.
	cfg, err := judge(doc, "node.", all, schema, "node."+keyPaths, "node.replication")
	if err != nil {
		return old, unpack(err, numbers)
	}
	return cfg.Node, nil
}

// keyPaths is the list of the heartbeat paths.
const keyPaths = "heartbeat"

// itemKey is a field of an item of one of the lists that a node has: heartbeat[0].local.
type itemKey struct {
	list  string
	n     int
	field string
}

func (k itemKey) String() string { return fmt.Sprintf("%s[%d].%s", k.list, k.n, k.field) }

// splitItem is the reverse.
func splitItem(key string) (k itemKey, ok bool) {
	list, rest, indexed := strings.Cut(key, "[")
	index, field, _ := strings.Cut(rest, "].")
	n, err := strconv.Atoi(index)
	k = itemKey{list, n, field}
	return k, indexed && err == nil && key == k.String()
}

// pack closes the gaps that removed items leave; numbers are, by list, the indices of the
// ones that stay.
func pack(f Fields) (out Fields, numbers map[string][]int) {
	out, numbers = Fields{}, map[string][]int{}
	for key, text := range f {
		k, item := splitItem(key)
		switch {
		case !item:
			out[key] = text
		case text != "" && !slices.Contains(numbers[k.list], k.n):
			numbers[k.list] = append(numbers[k.list], k.n)
		}
	}
	for _, list := range numbers {
		slices.Sort(list)
	}
	for key, text := range f {
		if k, item := splitItem(key); item && slices.Contains(numbers[k.list], k.n) {
			k.n = slices.Index(numbers[k.list], k.n)
			out[k.String()] = text
		}
	}
	return out, numbers
}

// unpack tells mistakes at the items as they were numbered before.
func unpack(err error, numbers map[string][]int) error {
	wrong, ok := errors.AsType[FieldsError](err)
	if !ok {
		return err
	}
	out := FieldsError{}
	for key, text := range wrong {
		if k, item := splitItem(key); item && k.n < len(numbers[k.list]) {
			k.n = numbers[k.list][k.n]
			key = k.String()
		}
		out[key] = text
	}
	return out
}

// SetCluster changes settings that the pair shares; the zero value has all defaults.
func SetCluster(old lb.Cluster, f Fields) (lb.Cluster, error) {
	schema := reflect.TypeFor[clusterFile]()
	was := Fields{}
	if old != (lb.Cluster{}) {
		was = ClusterFields(old)
	}
	all, err := merge(was, f, schema)
	if err != nil {
		return old, err
	}
	cfg, err := judge(map[string]any{"cluster": tree(all, schema)}, "cluster.", all, schema)
	if err != nil {
		return old, err
	}
	return cfg.Cluster, nil
}
