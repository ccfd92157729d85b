package api

import (
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"time"

	"github.com/vosbed/vosbed/internal/bundle"
)

// Paths of the software update (guide 9.4). Where packages update the appliance, each is
// answered with 409.
const (
	PathUpdate        = "/api/v1/update"         // GET Update; POST: multipart/form-data of the fields below
	PathUpdateRestart = "/api/v1/update/restart" // POST: restart into what was installed
	PathUpdateBack    = "/api/v1/update/back"    // POST UpdateBack: give up what was installed
)

// MaxUpdate bounds the form that installs an update, in bytes.
const MaxUpdate = bundle.MaxArchive + bundle.MaxChecksum + 64<<10

// Fields of the form that installs an update.
const (
	UpdateArchive  = "archive"
	UpdateChecksum = "checksum" // a file of sha256sum; may be missing
	UpdateOlder    = "older"    // "true" lets a version be installed that is older than the running one
)

// Update is what is installed, and whether the running system is healthy.
type Update struct {
	Version string       `json:"version"` // that runs
	Slots   []UpdateSlot `json:"slots"`
	// Restart is the version that a restart leads to, "" = none waits.
	Restart string `json:"restart,omitempty"`
	// Back is the version that going back leads to, "" = there is none.
	Back string `json:"back,omitempty"`
	// Healthy says that nothing is waited for. A new version that is not within some
	// minutes is given up.
	Healthy bool     `json:"healthy"`
	Waiting []string `json:"waiting"` // for what, in words
}

// UpdateSlot is one of the two places for a system.
type UpdateSlot struct {
	Slot      string `json:"slot"`
	Version   string `json:"version"` // "" = it is empty
	Running   bool   `json:"running"`
	Next      bool   `json:"next"`       // is started next
	Proven    bool   `json:"proven"`     // came up healthy once
	TriesLeft int    `json:"tries_left"` // starts of a system that is not proven
}

// State is what a slot is, in words.
func (s UpdateSlot) State() string {
	if s.Version == "" {
		return "empty"
	}
	var words []string
	if s.Running {
		words = append(words, "running")
	}
	if s.Next && !s.Running {
		words = append(words, "started next")
	}
	switch {
	case s.Proven:
		words = append(words, "proven")
	case s.TriesLeft > 0:
		words = append(words, "on trial")
	default:
		words = append(words, "given up")
	}
	return strings.Join(words, ", ")
}

// UpdateBack tells what going back did.
type UpdateBack struct {
	// Restarts says that the machine restarts into the former version; otherwise the
	// running one stays.
	Restarts bool `json:"restarts"`
}

// UpdateFiles are the files of an update; Checksum may be nil.
type UpdateFiles struct {
	Archive, Checksum io.Reader
	Older             bool
}

// updateTimeout bounds the sending and installing of an update.
const updateTimeout = 15 * time.Minute

// Update tells what is installed.
func (c *Client) Update(ctx context.Context) (Update, error) {
	var out Update
	err := c.act(ctx, http.MethodGet, PathUpdate, nil, &out)
	return out, err
}

// InstallUpdate sends an update and installs it.
func (c *Client) InstallUpdate(ctx context.Context, in UpdateFiles) (Update, error) {
	return c.SendUpdate(ctx, in.write)
}

// SendUpdate is InstallUpdate with a form that write writes while it is sent, and ends. It
// has returned when SendUpdate does.
func (c *Client) SendUpdate(ctx context.Context, write func(*multipart.Writer) error) (Update, error) {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	from, to := io.Pipe()
	w := multipart.NewWriter(to)
	done := make(chan struct{})
	go func() {
		defer close(done)
		to.CloseWithError(write(w))
	}()
	defer func() {
		_ = from.Close() // ends the writer if the body was not read wholly
		<-done
	}()
	var out Update
	err := c.do(ctx, http.MethodPost, PathUpdate, form{w.FormDataContentType(), from}, &out)
	return out, err
}

// write writes the form as it is read: small fields first, so that what is wrong with them
// is known before the archive comes.
func (in UpdateFiles) write(w *multipart.Writer) error {
	if in.Older {
		if err := w.WriteField(UpdateOlder, "true"); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		name string
		from io.Reader
	}{{UpdateChecksum, in.Checksum}, {UpdateArchive, in.Archive}} {
		if f.from == nil {
			continue
		}
		part, err := w.CreateFormFile(f.name, f.name)
		if err != nil {
			return err
		}
		if _, err := io.Copy(part, f.from); err != nil {
			return err
		}
	}
	return w.Close()
}

// RestartIntoUpdate restarts the machine into what was installed.
func (c *Client) RestartIntoUpdate(ctx context.Context) error {
	return c.act(ctx, http.MethodPost, PathUpdateRestart, nil, nil)
}

// UpdateBack gives up what was installed.
func (c *Client) UpdateBack(ctx context.Context) (UpdateBack, error) {
	var out UpdateBack
	err := c.act(ctx, http.MethodPost, PathUpdateBack, nil, &out)
	return out, err
}
