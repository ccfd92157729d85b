package web

import (
	"errors"
	"io"
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
)

// backupData is the page that keeps a configuration elsewhere and brings one back.
type backupData struct {
	Admin    bool
	Own      *input // the person's password, unless it was given a moment ago
	File     input
	Refused  formError
	Revision string
}

// Wrong is for the template of a form's mistakes: the ones of a file have no field.
func (backupData) Wrong() []input { return nil }

// Errors are what was wrong with the file.
func (d backupData) Errors() formError { return d.Refused }

func (v *visit) backup() error { return v.backupPage(formError{}) }

func (v *visit) backupPage(refused formError) error {
	_, revision, err := v.api.Config(v.ctx())
	if err != nil {
		return err
	}
	d := backupData{
		Admin: v.may(api.RoleAdmin), Refused: refused, Revision: revision,
		File: input{Name: "file", Label: "Configuration file", Kind: "file", Error: refused.Fields["file"]},
	}
	for _, i := range v.withOwnPassword(nil) {
		i.Error = refused.Fields[i.Name]
		d.Own = &i
	}
	return v.show(refused.status(), "backup", "Backup & Restore", d)
}

// restore takes a file as pending changes: it is looked at before it is applied.
func (v *visit) restore() error {
	data, err := v.uploaded("file")
	if err == nil {
		err = v.confirmFirst()
	}
	if err == nil {
		err = v.api.Restore(v.ctx(), "", data)
	}
	if refused, ok := fieldErrors(err); ok {
		return v.backupPage(refused)
	}
	if err != nil {
		return err
	}
	return v.goTo(Root + "backup")
}

// uploaded reads a file of the form, within the bound of all forms.
func (v *visit) uploaded(name string) ([]byte, error) {
	mistake := func(text string) error {
		return &api.ProblemError{Problem: api.Problem{Status: http.StatusUnprocessableEntity, Detail: text, Fields: map[string]string{name: text}}}
	}
	f, _, err := v.r.FormFile(name)
	if errors.Is(err, http.ErrMissingFile) {
		return nil, mistake("choose a file first")
	}
	if err != nil {
		return nil, mistake("the file cannot be read: it may be longer than 1 MB")
	}
	defer f.Close()
	return io.ReadAll(f)
}
