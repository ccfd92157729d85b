package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	// refreshEvery is the guide's "3 Seconds" (9.3).
	refreshEvery = 3 * time.Second
	// maxTabs bounds the live pages.
	maxTabs = 64
	// fresh is how long one rendering serves all tabs that want the same.
	fresh = time.Second
)

// live renders regions of pages for tabs that are open. Tabs with the same view share one
// rendering.
type live struct {
	mu    sync.Mutex
	tabs  int
	views map[string]rendering
}

type rendering struct {
	at   time.Time
	data []byte
}

func (l *live) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tabs >= maxTabs {
		return false
	}
	l.tabs++
	return true
}

func (l *live) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tabs--; l.tabs == 0 {
		l.views = nil
	}
}

// shared returns the rendering of a view, made anew if it is older than fresh. One makes
// it while the others wait.
func (l *live) shared(view string, now time.Time, make func() ([]byte, error)) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.views[view]; ok && now.Sub(r.at) < fresh {
		return r.data, nil
	}
	data, err := make()
	if err != nil {
		return nil, err
	}
	if l.views == nil || len(l.views) > maxTabs {
		l.views = map[string]rendering{}
	}
	l.views[view] = rendering{now, data}
	return data, nil
}

// events streams the regions of the page, until the person leaves or the session ends.
func (v *visit) events() error {
	if v.r.URL.Query().Get("view") != "overview" {
		v.fail(http.StatusNotFound, "There is no such live view.")
		return nil
	}
	if !v.live.enter() {
		v.fail(http.StatusServiceUnavailable, "Too many live pages are open.")
		return nil
	}
	defer v.live.leave()
	v.w.Header().Set("Content-Type", "text/event-stream")
	conn := http.NewResponseController(v.w)
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		data, err := v.regions()
		name := "regions"
		if err != nil {
			name, data = "bye", []byte("{}")
		}
		_ = conn.SetWriteDeadline(time.Now().Add(2 * refreshEvery))
		if _, werr := fmt.Fprintf(v.w, "event: %s\ndata: %s\n\n", name, data); werr != nil || conn.Flush() != nil || err != nil {
			return nil
		}
		select {
		case <-v.ctx().Done():
			return nil
		case <-tick.C:
		}
	}
}

// regions renders what is live of the overview for this person, as JSON of HTML by name.
func (v *visit) regions() ([]byte, error) {
	if _, err := v.api.Session(v.ctx()); err != nil { // it may have ended meanwhile
		return nil, err
	}
	q := v.r.URL.Query()
	view := v.session.Role + "?" + q.Encode()
	return v.live.shared(view, v.opts.Now(), func() ([]byte, error) {
		st, err := v.api.Status(v.ctx())
		if err != nil {
			return nil, err
		}
		f := frame{Screen: "overview", Status: &st, Session: v.session, Files: v.files, Path: Root, Now: v.opts.Now()}
		f.Data = overviewOf(st, q, v.may(api.RoleOperator))
		out := map[string]string{}
		for name, block := range map[string]string{"roles": "roles", "services": "services", "trouble": "trouble", "facts": "facts", "at": "at"} {
			var b bytes.Buffer
			if err := v.views.fragment(&b, "overview", block+"-inner", f); err != nil {
				return nil, err
			}
			out[name] = b.String()
		}
		return json.Marshal(out)
	})
}
