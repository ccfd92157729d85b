package mgmt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/bundle"
)

// updates remembers what a software update was asked for.
type updates struct{ *fake }

func (u updates) Update(context.Context) (api.Update, error) {
	return api.Update{Version: "1.0.0", Slots: []api.UpdateSlot{{Slot: "a", Version: "1.0.0", Running: true}}, Healthy: true, Waiting: []string{}}, u.note("update")
}

func (u updates) Receive(context.Context) (UpdateUpload, error) {
	return &sink{fake: u.fake}, u.note("receive")
}
func (u updates) Restart(context.Context) error { return u.note("restart into the update") }
func (u updates) Back(context.Context) (api.UpdateBack, error) {
	return api.UpdateBack{Restarts: true}, u.note("back")
}

// sink takes an archive.
type sink struct {
	*fake
	got int
}

func (s *sink) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("full")) {
		return 0, fmt.Errorf("%w: the disk is full", ErrRefused)
	}
	s.got += len(p)
	return len(p), nil
}

func (s *sink) Close() error { return s.note("forget") }

func (s *sink) Install(_ context.Context, checksum []byte, older bool) (api.Update, error) {
	return api.Update{Version: "1.0.0", Restart: "1.1.0"}, s.note("install %d bytes, sum %q, older %v", s.got, checksum, older)
}

// TestUpdate sends what is larger than any other body may be.
func TestUpdate(t *testing.T) {
	f := &fake{status: sample()}
	c := startUnix(t, newServer(t, f))
	archive := bytes.Repeat([]byte("x"), 3*maxBody)
	out, err := c.InstallUpdate(t.Context(), api.UpdateFiles{Archive: bytes.NewReader(archive), Checksum: strings.NewReader("sum"), Older: true})
	if err != nil || out.Restart != "1.1.0" {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err = c.InstallUpdate(t.Context(), api.UpdateFiles{Archive: strings.NewReader("y")}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Update(t.Context()); err != nil || got.Version != "1.0.0" || !got.Healthy {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.RestartIntoUpdate(t.Context()); err != nil {
		t.Error(err)
	}
	if back, err := c.UpdateBack(t.Context()); err != nil || !back.Restarts {
		t.Error(back, err)
	}
	want := []string{
		"receive", fmt.Sprintf(`install %d bytes, sum "sum", older true`, len(archive)), "forget",
		"receive", `install 1 bytes, sum "", older false`, "forget",
		"update", "restart into the update", "back",
	}
	if got := f.asked(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked: %q", got)
	}
}

// TestUpdateIsNotSent holds back an archive that nobody takes.
func TestUpdateIsNotSent(t *testing.T) {
	f := &fake{status: sample(), err: fmt.Errorf("%w: one at a time", ErrRefused)}
	c := startUnix(t, newServer(t, f))
	read, begun := 0, time.Now()
	_, err := c.InstallUpdate(t.Context(), api.UpdateFiles{Archive: readFunc(func(p []byte) (int, error) { read += len(p); return len(p), nil })})
	problem, ok := errors.AsType[*api.ProblemError](err)
	if !ok || problem.Problem.Status != http.StatusConflict || !strings.Contains(problem.Error(), "one at a time") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > 4*time.Second { // a client waits for five before it sends all the same
		t.Errorf("the answer took %s", took)
	}
}

type readFunc func([]byte) (int, error)

func (r readFunc) Read(p []byte) (int, error) { return r(p) }

// TestUpdateForms sends forms that are wrong.
func TestUpdateForms(t *testing.T) {
	form := func(parts ...string) (string, io.Reader) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for i := 0; i < len(parts); i += 2 {
			if err := w.WriteField(parts[i], parts[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return w.FormDataContentType(), &b
	}
	kind, whole := form("archive", strings.Repeat("x", 1000))
	tests := map[string]struct {
		parts  []string
		kind   string
		body   io.Reader
		status int
		want   string
	}{
		"json":           {nil, "application/json", strings.NewReader("{}"), 415, "multipart/form-data"},
		"unknown field":  {[]string{"<b>", "x"}, "", nil, 400, "more than once, or it is not known"},
		"two archives":   {[]string{"archive", "x", "archive", "y"}, "", nil, 400, "more than once"},
		"long checksum":  {[]string{"checksum", strings.Repeat("0", bundle.MaxChecksum+1)}, "", nil, 422, "some settings"},
		"older how":      {[]string{"older", "maybe"}, "", nil, 422, "some settings"},
		"disk full":      {[]string{"archive", "full"}, "", nil, 409, "the disk is full"},
		"broken off":     {nil, kind, io.LimitReader(whole, 500), 400, "did not come wholly"},
		"older is false": {[]string{"older", "false", "archive", "x"}, "", nil, 200, "1.1.0"},
	}
	for name, tt := range tests {
		f := &fake{status: sample()}
		s := newServer(t, f)
		kind, body := tt.kind, tt.body
		if body == nil {
			kind, body = form(tt.parts...)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.PathUpdate, body)
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		guarded(onConsole(s.handler)).ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		asked := f.asked()
		if tt.status != 415 && asked[len(asked)-1] != "forget" {
			t.Errorf("%s: the archive is kept: %q", name, asked)
		}
	}
}

// TestUpdateIsBounded stops a body that does not end.
func TestUpdateIsBounded(t *testing.T) {
	s := newServer(t, &fake{status: sample()})
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	if _, err := w.CreateFormFile("archive", "a"); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.PathUpdate, io.MultiReader(&head, readFunc(func(p []byte) (int, error) { clear(p); return len(p), nil })))
	r.Header.Set("Content-Type", w.FormDataContentType())
	out := httptest.NewRecorder()
	guarded(onConsole(s.handler)).ServeHTTP(out, r)
	if out.Code != http.StatusRequestEntityTooLarge || !strings.Contains(out.Body.String(), "longer than 151 MB") {
		t.Errorf("%d %s", out.Code, out.Body)
	}
}
