package web

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

// Fields of the page that asks for the password. No form of another page has them.
const (
	confirmPrefix = "confirm-"
	confirmOwn    = confirmPrefix + "password"
	confirmAction = confirmPrefix + "action"
)

// confirmData carries the action that needs the password once more.
type confirmData struct {
	Inputs []input // the passwords to give
	Action string
	Fields []input // what else the action's form held
}

// ownPasswordInput asks for the person's own password in a form for a sensitive action,
// so that no second page has to.
func ownPasswordInput() input {
	return input{Name: confirmOwn, Label: "Your own password", Kind: "password", Auto: "current-password", Required: true, Hint: "This action needs it once more"}
}

// withOwnPassword adds that input, unless the person gave the password a moment ago.
func (v *visit) withOwnPassword(to []input) []input {
	if v.session.Confirmed != nil {
		return to
	}
	return append(to, ownPasswordInput())
}

// confirmFirst gives the person's own password if the form of a sensitive action held it.
func (v *visit) confirmFirst() error { return v.confirmBy(v.r.PostFormValue(confirmOwn)) }

// confirmBy gives a password, unless there is none or it was given a moment ago.
func (v *visit) confirmBy(own string) error {
	if own == "" || v.session.Confirmed != nil {
		return nil
	}
	err := v.api.Confirm(v.ctx(), own)
	if p, ok := asProblem(err); ok && p.Confirm {
		return &api.ProblemError{Problem: api.Problem{
			Status: http.StatusUnprocessableEntity, Detail: p.Detail, Fields: map[string]string{confirmOwn: p.Detail},
		}}
	}
	if err == nil {
		v.session.Confirmed = new(v.opts.Now())
	}
	return err
}

// askPassword asks for the password once more before a sensitive action; wrong is what
// was wrong with the last try. The action's own form comes along, so that it can be done
// then. Passwords never come back in a page: those that it held are asked for again.
func (v *visit) askPassword(wrong string) {
	d := confirmData{Action: v.form(confirmAction)}
	if d.Action == "" {
		d.Action = v.r.URL.Path
	}
	own := ownPasswordInput()
	own.Hint, own.Error = "", wrong
	d.Inputs = append(d.Inputs, own)
	for _, name := range slices.Sorted(maps.Keys(v.r.Form)) {
		if strings.HasPrefix(name, confirmPrefix) {
			continue
		}
		for _, value := range v.r.Form[name] {
			if secret, label := secretField(d.Action, name); !secret {
				d.Fields = append(d.Fields, input{Name: name, Kind: "hidden", Value: value})
			} else if value != "" {
				d.Inputs = append(d.Inputs, input{Name: name, Label: label, Kind: "password", Required: true})
			}
		}
	}
	if err := v.show(http.StatusForbidden, "confirm", "Give your password once more", d); err != nil {
		v.fail(http.StatusInternalServerError, err.Error())
	}
}

// secretField says whether a field of an action's form is a password, and what it is
// called. What is not known by name is taken for one rather than shown.
func secretField(action, name string) (secret bool, label string) {
	if name == "passphrase" || action == sealedPath {
		return true, passphraseLabel
	}
	if !strings.Contains(name, "password") && name != "old" && name != "again" {
		return false, ""
	}
	if name == secretName {
		return true, sourceSecret
	}
	if strings.HasPrefix(action, Root+"availability/") {
		return true, peerPassword
	}
	return true, accountPassword
}

// confirm gives the password and then does what was asked for.
func (v *visit) confirm() error {
	err := v.api.Confirm(v.ctx(), v.r.PostFormValue(confirmOwn))
	if p, ok := asProblem(err); ok && (p.Confirm || p.Status == http.StatusTooManyRequests) {
		v.askPassword(p.Detail)
		return nil
	}
	if err != nil {
		return err
	}
	action := v.form(confirmAction)
	i := slices.IndexFunc(v.routes(), func(r route) bool {
		return r.method == http.MethodPost && r.path == action && r.path != Root+"confirm"
	})
	if i < 0 {
		return errors.New("the action to confirm is not known")
	}
	v.r.URL = &url.URL{Path: action}
	v.session.Confirmed = new(v.opts.Now())
	return v.routes()[i].serve(v)
}
