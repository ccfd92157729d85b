package web

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// confirmData carries the action that needs the password once more.
type confirmData struct {
	Password input
	Action   string
	Fields   []input
}

// askPassword asks for the password once more before a sensitive action; wrong is what
// was wrong with the last try. The action's own form comes along, so that it can be sent
// again; its passwords do not, and are asked for again by its own page if it needs them.
func (v *visit) askPassword(wrong string) {
	d := confirmData{
		Password: input{Name: "confirm-password", Label: "Your password", Kind: "password", Auto: "current-password", Required: true, Error: wrong},
		Action:   v.form("confirm-action"),
	}
	if d.Action == "" {
		d.Action = v.r.URL.Path
	}
	for _, name := range slices.Sorted(maps.Keys(v.r.PostForm)) {
		if strings.HasPrefix(name, "confirm-") {
			continue
		}
		for _, value := range v.r.PostForm[name] {
			d.Fields = append(d.Fields, input{Name: name, Kind: "hidden", Value: value})
		}
	}
	if err := v.show(http.StatusForbidden, "confirm", "Give your password once more", d); err != nil {
		v.fail(http.StatusInternalServerError, err.Error())
	}
}

// confirm gives the password and then does what was asked for.
func (v *visit) confirm() error {
	err := v.api.Confirm(v.ctx(), v.r.PostFormValue("confirm-password"))
	if p, ok := asProblem(err); ok && p.Confirm {
		v.askPassword(p.Detail)
		return nil
	}
	if err != nil {
		return err
	}
	action := v.form("confirm-action")
	for _, row := range v.routes() {
		if row.method != http.MethodPost || row.path != action || row.path == Root+"confirm" {
			continue
		}
		v.r.URL = &url.URL{Path: action}
		return row.serve(v)
	}
	return v.goTo(Root)
}
