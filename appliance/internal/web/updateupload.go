package web

import (
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/longbody"
)

const offlinePath = updatePath + "/offline"

// Bounds of sending an update.
const (
	uploadPause  = time.Minute // between two parts of it
	uploadTime   = 15 * time.Minute
	mostPassword = 1 << 10 // bytes
)

// offlineData is the form of guide 9.4.2.
type offlineData struct {
	Version                  string // that runs
	Own                      *input // the person's password, unless it was given a moment ago
	Archive, Checksum, Older input
	Refused                  formError
}

func (offlineData) under() string { return "update" }

// Errors are what was wrong with the files.
func (d offlineData) Errors() formError { return d.Refused }

// Wrong lists the inputs with an error.
func (d offlineData) Wrong() []input {
	all := []input{d.Archive, d.Checksum, d.Older}
	if d.Own != nil {
		all = append([]input{*d.Own}, all...)
	}
	return slices.DeleteFunc(all, func(i input) bool { return i.Error == "" })
}

// offlineUpdate is the page that takes an archive.
func (v *visit) offlineUpdate() error {
	if !v.may(api.RoleAdmin) {
		return mayNot()
	}
	return v.offlinePage(formError{}, false)
}

func (v *visit) offlinePage(refused formError, older bool) error {
	u, err := v.api.Update(v.ctx())
	if err != nil {
		return v.refused(updateTitle, updatePath, err)
	}
	d := offlineData{
		Version: u.Version, Refused: refused,
		Archive:  input{Name: api.UpdateArchive, Label: "Archive", Kind: "file", Required: true, Error: refused.Fields[api.UpdateArchive], Hint: "vosbed-VERSION.update of the release"},
		Checksum: input{Name: api.UpdateChecksum, Label: "Checksum", Kind: "file", Error: refused.Fields[api.UpdateChecksum], Hint: "SHA256SUMS of the release. May be left out: the archive is signed, and the signature is always verified"},
		Older: input{
			Name: api.UpdateOlder, Label: "Allow an older version", Kind: "checkbox", Value: fmt.Sprint(older), Error: refused.Fields[api.UpdateOlder],
			Hint: "Only if a version older than the running one is meant: it may not know every setting",
		},
	}
	for _, i := range v.withOwnPassword(nil) {
		i.Error = refused.Fields[i.Name]
		d.Own = &i
	}
	return v.show(refused.status(), "offline", "Offline Update", d)
}

// uploadUpdate hands the files on as they come. Browsers show no answer before they have
// sent everything, so what is refused is read to its end.
func (v *visit) uploadUpdate() error {
	if !v.may(api.RoleAdmin) {
		return mayNot()
	}
	v.r.Body = longbody.New(v.r.Body, http.NewResponseController(v.w), uploadPause, uploadTime)
	up := upload{visit: v}
	err := up.send()
	_, _ = io.Copy(io.Discard, v.r.Body) // an end that does not come is no other answer
	if p, ok := asProblem(err); ok && p.Confirm {
		v.session.Confirmed = nil
		err = &api.ProblemError{Problem: api.Problem{Status: http.StatusUnprocessableEntity, Detail: p.Detail, Fields: map[string]string{confirmOwn: p.Detail}}}
	}
	if refused, ok := fieldErrors(err); ok {
		return v.offlinePage(refused, up.older)
	}
	if err != nil {
		return err
	}
	return v.goTo(updatePath)
}

// upload is the form of an update on its way to the daemon. Nothing of it is kept here.
type upload struct {
	*visit
	form  *multipart.Reader
	older bool
}

// send sends it. The password comes first, as in the page.
func (u *upload) send() error {
	form, err := u.r.MultipartReader()
	if err != nil {
		return &api.ProblemError{Problem: api.Problem{Status: http.StatusBadRequest, Detail: "This form sends files: use the one of the page Offline Update."}}
	}
	u.form = form
	part, err := u.next()
	if err == nil && part != nil && part.FormName() == confirmOwn {
		if err = u.confirmWith(part); err == nil {
			part, err = u.next()
		}
	}
	if err != nil {
		return err
	}
	var sent error
	_, err = u.api.SendUpdate(u.ctx(), func(w *multipart.Writer) error {
		sent = u.forward(part, w)
		return sent
	})
	if _, refused := asProblem(sent); refused {
		return sent
	}
	return err
}

// next is the next part of the form, nil after the last.
func (u *upload) next() (*multipart.Part, error) {
	part, err := u.form.NextPart()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	return part, tooLong(err)
}

// confirmWith gives the person's own password.
func (u *upload) confirmWith(part *multipart.Part) error {
	own, err := io.ReadAll(io.LimitReader(part, mostPassword))
	if err != nil {
		return tooLong(err)
	}
	return u.confirmBy(string(own))
}

// forward passes the parts on, but for a file that was not chosen.
func (u *upload) forward(part *multipart.Part, to *multipart.Writer) error {
	for part != nil {
		if err := u.pass(part, to); err != nil {
			return err
		}
		next, err := u.next()
		if err != nil {
			return err
		}
		part = next
	}
	return to.Close()
}

func (u *upload) pass(part *multipart.Part, to *multipart.Writer) error {
	name := part.FormName()
	switch name {
	case api.UpdateOlder:
		value, err := io.ReadAll(io.LimitReader(part, 8))
		if err != nil {
			return tooLong(err)
		}
		u.older = string(value) == "true"
		return to.WriteField(name, fmt.Sprint(u.older))
	case api.UpdateArchive, api.UpdateChecksum:
		if name == api.UpdateChecksum && part.FileName() == "" {
			return nil
		}
		file, err := to.CreateFormFile(name, name)
		if err == nil {
			_, err = io.Copy(file, part)
		}
		return tooLong(err)
	}
	return &api.ProblemError{Problem: api.Problem{Status: http.StatusBadRequest, Detail: "The form holds something that does not belong there: use the one of the page Offline Update."}}
}

// tooLong says of what is longer than an update can be that it is.
func tooLong(err error) error {
	if long, ok := errors.AsType[*http.MaxBytesError](err); ok {
		const text = "has more than the %d MB that an update can have"
		detail := fmt.Sprintf(text, long.Limit>>20)
		return &api.ProblemError{Problem: api.Problem{Status: http.StatusUnprocessableEntity, Detail: detail, Fields: map[string]string{api.UpdateArchive: detail}}}
	}
	return err
}
