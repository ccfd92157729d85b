package scenario

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/vosbed/vosbed/appliance/api"
)

// Expr is an expression over one status record: the fields of api.Status by their
// JSON names, plus service("NAME") and server("SERVICE/SERVER"), which are empty
// maps for what does not exist. A sample step also has persistence, the entries,
// and delivered, the bytes of bulk loads. Over another record, self is that record.
type Expr struct {
	text string
	prog *vm.Program
}

// ParseExpr compiles an expression over an appliance's status.
func ParseExpr(text string) (*Expr, error) {
	return parseExpr(text, expr.Env(environment(zeroStatus())))
}

// ParseFreeExpr compiles an expression over any record, called self.
func ParseFreeExpr(text string) (*Expr, error) {
	return parseExpr(text, expr.Env(map[string]any{"self": map[string]any{}}))
}

func parseExpr(text string, env expr.Option) (*Expr, error) {
	prog, err := expr.Compile(text, env)
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", text, err)
	}
	return &Expr{text: text, prog: prog}, nil
}

func zeroStatus() map[string]any {
	m, err := StatusMap(api.Status{})
	if err != nil {
		return map[string]any{}
	}
	return m
}

// StatusMap turns a status (a struct, or raw JSON) into what Eval takes.
func StatusMap(status any) (map[string]any, error) {
	raw, ok := status.(json.RawMessage)
	if !ok {
		b, err := json.Marshal(status)
		if err != nil {
			return nil, fmt.Errorf("status: %w", err)
		}
		raw = b
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("status: %w", err)
	}
	return m, nil
}

// environment adds the look-up functions.
func environment(status map[string]any) map[string]any {
	env := make(map[string]any, len(status)+2)
	maps.Copy(env, status)
	if _, ok := env["delivered"].(map[string]any); !ok {
		env["delivered"] = map[string]any{}
	}
	for _, name := range []string{"services", "arp_conflicts", "problems", "persistence"} {
		if _, ok := env[name].([]any); !ok {
			env[name] = []any{} // null in JSON
		}
	}
	env["service"] = func(name string) map[string]any { return findService(status, name) }
	env["server"] = func(id string) map[string]any { return findServer(status, id) }
	return env
}

func findService(status map[string]any, name string) map[string]any {
	return named(status["services"], name)
}

func findServer(status map[string]any, id string) map[string]any {
	for i := range id {
		if id[i] == '/' {
			return named(findService(status, id[:i])["servers"], id[i+1:])
		}
	}
	return map[string]any{}
}

func named(list any, name string) map[string]any {
	items, _ := list.([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok && m["name"] == name {
			return m
		}
	}
	return map[string]any{}
}

// Eval computes the expression over one record.
func (e *Expr) Eval(status map[string]any) (any, error) {
	v, err := expr.Run(e.prog, environment(status))
	if err != nil {
		return nil, fmt.Errorf("expression %q: %w", e.text, err)
	}
	return v, nil
}

// Holds computes an expression that must be true or false.
func (e *Expr) Holds(status map[string]any) (bool, error) {
	v, err := e.Eval(status)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("expression %q is %v, not true or false", e.text, v)
	}
	return b, nil
}

// Number computes an expression that must be a number (true counts as 1).
func (e *Expr) Number(status map[string]any) (float64, error) {
	v, err := e.Eval(status)
	if err != nil {
		return 0, err
	}
	switch v := v.(type) {
	case float64:
		return v, nil
	case int:
		return float64(v), nil
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	}
	return 0, fmt.Errorf("expression %q is %v, not a number", e.text, v)
}
