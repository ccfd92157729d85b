package web

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
)

// mostBackup bounds a packed backup in bytes: in base64 it must go into a call of the API.
const mostBackup = 700 << 10

// backupData is the page that keeps a node elsewhere and brings it back.
type backupData struct {
	Admin            bool
	Own              *input // the person's password, unless it was given a moment ago
	File, Passphrase input
	Refused          formError
	Revision         string
	Tag              string        // of the draft that the person saw, which a restore replaces
	Came             *api.Restored // what came of a backup
}

// Wrong is for the template of a form's mistakes, which are at the inputs.
func (d backupData) Wrong() []input {
	var out []input
	for _, i := range []input{d.File, d.Passphrase} {
		if i.Error != "" {
			out = append(out, i)
		}
	}
	return out
}

// Errors are what was wrong with the file.
func (d backupData) Errors() formError { return d.Refused }

func (v *visit) backup() error { return v.backupPage(formError{}, nil) }

func (v *visit) backupPage(refused formError, came *api.Restored) error {
	_, revision, err := v.api.Config(v.ctx())
	if err != nil {
		return err
	}
	draft, err := v.api.Draft(v.ctx())
	if err != nil {
		return err
	}
	d := backupData{
		Tag: draft.Tag, Admin: v.may(api.RoleAdmin), Refused: refused, Revision: revision, Came: came,
		File: input{Name: "file", Label: "Backup or configuration file", Kind: "file", Error: refused.Fields["file"]},
		Passphrase: input{
			Name: "passphrase", Label: "Passphrase of the backup", Kind: "password", Error: refused.Fields["passphrase"],
			Hint: "Only to bring back the accounts and the certificate too: they are replaced at once",
		},
	}
	for _, i := range v.withOwnPassword(nil) {
		i.Error = refused.Fields[i.Name]
		d.Own = &i
	}
	return v.show(refused.status(), "backup", "Backup & Restore", d)
}

// backupFile is a backup without what is secret.
func (v *visit) backupFile() error {
	data, err := v.api.Backup(v.ctx())
	if err != nil {
		return err
	}
	return v.sendBackup(data)
}

func (v *visit) sendBackup(data []byte) error {
	v.download("application/gzip", "vosbed-backup-"+v.opts.Now().UTC().Format("20060102-150405")+".tar.gz")
	_, err := v.w.Write(data)
	return ignoreGone(err)
}

// sealedBackup is the page of a backup that also holds what is secret.
func (v *visit) sealedBackup() error {
	if !v.may(api.RoleAdmin) {
		return mayNot()
	}
	return v.sealedPage(formError{})
}

func (v *visit) sealedPage(refused formError) error {
	e := editor{Action: sealedPath, Submit: "Download", Cancel: Root + "backup", Under: "backup", Sections: []section{{Title: "Passphrase", Inputs: v.withOwnPassword([]input{
		{
			Name: "passphrase", Label: passphraseLabel, Kind: "password", Auto: "new-password", Required: true,
			Hint: "At least 12 characters. Who has file and passphrase can administer this node; without the passphrase nobody can open the file, and it cannot be found again",
		},
		{Name: "again", Label: passphraseLabel + " once more", Kind: "password", Auto: "new-password", Required: true},
	})}}}
	e.place(refused)
	return v.show(refused.status(), "edit", "Backup with accounts and certificate", e)
}

const (
	sealedPath      = Root + "backup/sealed"
	passphraseLabel = "Passphrase"
)

// makeSealed sends one.
func (v *visit) makeSealed() error {
	passphrase := v.r.PostFormValue("passphrase")
	if passphrase != v.r.PostFormValue("again") {
		return v.sealedPage(formError{Status: http.StatusUnprocessableEntity, Fields: map[string]string{"again": "the two are not the same"}})
	}
	err := v.confirmFirst()
	var data []byte
	if err == nil {
		data, err = v.api.SealedBackup(v.ctx(), passphrase)
	}
	if refused, ok := fieldErrors(err); ok {
		return v.sealedPage(refused)
	}
	if err != nil {
		return err
	}
	return v.sendBackup(data)
}

// restore takes a file as pending changes: it is looked at before it is applied. Of a
// backup it shows what came of it.
func (v *visit) restore() error {
	data, err := v.uploaded("file")
	if err == nil {
		err = v.confirmFirst()
	}
	var came *api.Restored
	if err == nil {
		came, err = v.bringBack(data)
	}
	if refused, ok := fieldErrors(err); ok {
		return v.backupPage(refused, nil)
	}
	if err != nil {
		return err
	}
	if came != nil {
		return v.backupPage(formError{}, came)
	}
	return v.goTo(Root + "backup")
}

// bringBack tells a backup, which is packed, from a configuration file.
func (v *visit) bringBack(data []byte) (*api.Restored, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return nil, v.api.Restore(v.ctx(), v.form("tag"), data)
	}
	if len(data) > mostBackup {
		return nil, &api.ProblemError{Problem: api.Problem{Status: http.StatusUnprocessableEntity, Fields: map[string]string{"file": "the file is longer than a backup of 700 kB can be"}}}
	}
	came, err := v.api.RestoreBackup(v.ctx(), v.form("tag"), api.Restore{File: data, Passphrase: v.r.PostFormValue("passphrase")})
	return &came, err
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
