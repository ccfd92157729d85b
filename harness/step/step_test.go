package step_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/step"
)

// written makes a step in which only the field of that key is written.
func written(t *testing.T, field reflect.StructField) scenario.Step {
	t.Helper()
	var st scenario.Step
	v := reflect.ValueOf(&st).Elem().FieldByIndex(field.Index)
	switch v.Kind() { //nolint:exhaustive // the language has no others
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	case reflect.String:
		v.SetString("x")
	case reflect.Int64:
		v.SetInt(1)
	default:
		t.Fatalf("field %s has kind %s", field.Name, v.Kind())
	}
	return st
}

func TestEveryStepOfTheLanguageCanBeDoneAndSaid(t *testing.T) {
	kinds := step.Kinds()
	seen := 0
	for field := range reflect.TypeFor[scenario.Step]().Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if key == "name" {
			continue
		}
		seen++
		st := written(t, field)
		if st.Kind() != key {
			t.Errorf("%s: its kind is %q", key, st.Kind())
		}
		if !slices.Contains(kinds, key) {
			t.Errorf("%s: nobody does it", key)
		}
		if w := step.Words(st); w == "nothing" || w == "" {
			t.Errorf("%s: no words for it", key)
		}
	}
	if seen != len(kinds) {
		t.Errorf("%d steps in the language, %d in the table %v", seen, len(kinds), kinds)
	}
}
