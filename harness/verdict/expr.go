package verdict

import (
	"fmt"
	"strings"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"
)

// Expr is a compiled expression over one status record.
type Expr struct{ program *vm.Program }

// CheckExpr reports what is wrong with an expression, nil if nothing is. The
// names it may use are the fields of a status (node, configured_role, role,
// revision, pair, dataplane, services, arp_conflicts, problems) and the
// functions service("Name") and server("Service/Real"), both of which are
// errors when there is no such thing.
func CheckExpr(text string) error {
	_, err := compile(text)
	return err
}

func compile(text string) (*Expr, error) {
	p, err := expr.Compile(text, expr.Env(environment("", nil)), expr.AsBool())
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", text, err)
	}
	return &Expr{p}, nil
}

// Eval evaluates the expression over the status of a node.
func (e *Expr) Eval(node string, status map[string]any) (bool, error) {
	v, err := expr.Run(e.program, environment(node, status))
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("the value is %v, not true or false", v)
	}
	return b, nil
}

// environment is what an expression sees.
func environment(node string, status map[string]any) map[string]any {
	list := func(name string) []any {
		l, _ := status[name].([]any)
		return l
	}
	object := func(name string) map[string]any {
		o, _ := status[name].(map[string]any)
		if o == nil {
			o = map[string]any{}
		}
		return o
	}
	text := func(name string) string {
		s, _ := status[name].(string)
		return s
	}
	services := list("services")
	return map[string]any{
		"node": node, "configured_role": text("configured_role"), "role": text("role"), "revision": text("revision"),
		"pair": object("pair"), "dataplane": object("dataplane"), "services": services,
		"arp_conflicts": list("arp_conflicts"), "problems": list("problems"),
		"service": func(name string) (map[string]any, error) { return named(services, "service", name) },
		"server": func(path string) (map[string]any, error) {
			service, server, ok := strings.Cut(path, "/")
			if !ok {
				return nil, fmt.Errorf("server(%q): write \"Service/Server\"", path)
			}
			s, err := named(services, "service", service)
			if err != nil {
				return nil, err
			}
			servers, _ := s["servers"].([]any)
			return named(servers, "server", server)
		},
	}
}

// named finds an object by its name.
func named(list []any, what, name string) (map[string]any, error) {
	for _, v := range list {
		if o, _ := v.(map[string]any); o != nil && o["name"] == name {
			return o, nil
		}
	}
	return nil, fmt.Errorf("no %s %q in the status", what, name)
}
