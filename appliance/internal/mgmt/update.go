package mgmt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/internal/bundle"
)

// Updates give the appliance another system. All are an [ErrRefused] where packages do that.
type Updates interface {
	Update(ctx context.Context) (api.Update, error)
	// Receive begins an upload; there is one at a time.
	Receive(ctx context.Context) (UpdateUpload, error)
	// Restart restarts the machine into what was installed.
	Restart(ctx context.Context) error
	// Back gives up what was installed.
	Back(ctx context.Context) (api.UpdateBack, error)
}

// UpdateUpload takes an archive as it comes. Closing it forgets the archive.
type UpdateUpload interface {
	io.WriteCloser
	// Install verifies what was written and installs it; a nil checksum is none. What is
	// wrong with what was sent is a [*FieldsError].
	Install(ctx context.Context, checksum []byte, older bool) (api.Update, error)
}

// updating is the software update (guide 9.4).
func (s *Server) updating() []route {
	return []route{
		{method: http.MethodGet, path: api.PathUpdate, handle: s.getUpdate, least: accounts.Auditor},
		{method: http.MethodPost, path: api.PathUpdate, handle: s.postUpdate, least: accounts.Admin, action: "install a software update", sensitive: true},
		{method: http.MethodPost, path: api.PathUpdateRestart, handle: s.postUpdateRestart, least: accounts.Admin, action: "restart into the software update", sensitive: true},
		{method: http.MethodPost, path: api.PathUpdateBack, handle: s.postUpdateBack, least: accounts.Admin, action: "go back from the software update", sensitive: true},
	}
}

// updateTimeout bounds the sending and installing of an update.
const updateTimeout = 15 * time.Minute

// bodyOf bounds the body of a call in bytes.
func bodyOf(r *http.Request) int64 {
	if r.Method == http.MethodPost && r.URL.Path == api.PathUpdate {
		return api.MaxUpdate
	}
	return maxBody
}

func (s *Server) getUpdate(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.Updates.Update)
}

func (s *Server) postUpdate(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, func(ctx context.Context) (api.Update, error) {
		form, err := r.MultipartReader()
		if err != nil {
			return api.Update{}, &formatError{http.StatusUnsupportedMediaType, "send a form with the file " + api.UpdateArchive + " (Content-Type: multipart/form-data)"}
		}
		up, err := s.opts.Backend.Updates.Receive(ctx)
		if err != nil {
			return api.Update{}, err
		}
		defer s.closed(ctx, up)
		patient(w)
		in, err := readUpdate(form, up)
		if err != nil {
			return api.Update{}, err
		}
		out, err := up.Install(ctx, in.checksum, in.older)
		if out.Restart != "" {
			note(r).before, note(r).after = out.Version, out.Restart
		}
		return out, err
	})
}

func (s *Server) closed(ctx context.Context, up io.Closer) {
	if err := up.Close(); err != nil {
		s.log.WarnContext(ctx, "the archive of an update was not removed", "err", err)
	}
}

// updateForm are the small fields of the form.
type updateForm struct {
	checksum []byte
	older    bool
	archive  bool // has come
}

// readUpdate reads the form's parts as they come; the archive goes to a file.
func readUpdate(form *multipart.Reader, archive io.Writer) (updateForm, error) {
	var in updateForm
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err == nil {
			err = in.take(part, archive)
		} else {
			err = cutOff(err)
		}
		if err != nil {
			return in, err
		}
	}
}

func (in *updateForm) take(part *multipart.Part, archive io.Writer) error {
	switch name := part.FormName(); {
	case name == api.UpdateArchive && !in.archive:
		in.archive = true
		from := &source{from: part}
		_, err := io.Copy(archive, from)
		if from.err != nil {
			return cutOff(from.err)
		}
		return err
	case name == api.UpdateChecksum && in.checksum == nil:
		data, err := smallPart(part, bundle.MaxChecksum)
		in.checksum = data
		return err
	case name == api.UpdateOlder:
		data, err := smallPart(part, 8)
		if in.older = string(data) == "true"; err == nil && !in.older && string(data) != "false" && len(data) > 0 {
			return &FieldsError{Fields: map[string]string{api.UpdateOlder: "write true or false"}}
		}
		return err
	default:
		return &formatError{http.StatusBadRequest, fmt.Sprintf("the form has the field %.40q more than once, or it is not known here", name)}
	}
}

// smallPart reads a field of the form; it is never nil.
func smallPart(part *multipart.Part, most int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(part, most+1))
	if err != nil {
		return nil, cutOff(err)
	}
	if int64(len(data)) > most {
		return nil, &FieldsError{Fields: map[string]string{part.FormName(): fmt.Sprintf("is longer than %d bytes", most)}}
	}
	return append([]byte{}, data...), nil
}

// source remembers what went wrong in reading, as opposed to in writing.
type source struct {
	from io.Reader
	err  error
}

// Read passes on.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// cutOff is a body that did not come wholly.
func cutOff(err error) error {
	if long, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &formatError{http.StatusRequestEntityTooLarge, fmt.Sprintf("the update is longer than %d MB", long.Limit>>20)}
	}
	return &formatError{http.StatusBadRequest, "the update did not come wholly, nothing was changed: " + err.Error()}
}

func (s *Server) postUpdateRestart(w http.ResponseWriter, r *http.Request) {
	s.done(w, r, s.opts.Backend.Updates.Restart(r.Context()))
}

func (s *Server) postUpdateBack(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.Updates.Back)
}
