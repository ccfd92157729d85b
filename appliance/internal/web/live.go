package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

const (
	// refreshEvery is the guide's "3 Seconds" (9.3).
	refreshEvery = 3 * time.Second
	// maxTabs bounds the live pages, maxTabsOfOne those of one session: nobody keeps the
	// others from theirs.
	maxTabs, maxTabsOfOne = 64, 16
	// maxViews bounds the renderings that are kept.
	maxViews = 64
	// fresh is how long one rendering serves all tabs that want the same.
	fresh = time.Second
)

// live renders regions of pages for tabs that are open. Tabs with the same view share one
// rendering.
type live struct {
	mu    sync.Mutex
	tabs  map[string]int // open ones by session
	views map[string]*rendering
}

type rendering struct {
	// turn is held by the tab that renders; a channel, since a tab may give up waiting.
	turn chan struct{}
	at   time.Time
	data []byte
}

// enter counts a tab in, unless there are too many.
func (l *live) enter(session string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := 0
	for _, n := range l.tabs {
		all += n
	}
	if all >= maxTabs || l.tabs[session] >= maxTabsOfOne {
		return false
	}
	if l.tabs == nil {
		l.tabs = map[string]int{}
	}
	l.tabs[session]++
	return true
}

func (l *live) leave(session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tabs[session]--; l.tabs[session] == 0 {
		delete(l.tabs, session)
	}
	if len(l.tabs) == 0 {
		l.views = nil
	}
}

// view is the place of a view's rendering.
func (l *live) view(name string) *rendering {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.views[name]
	if ok {
		return r
	}
	if l.views == nil || len(l.views) >= maxViews {
		l.views = map[string]*rendering{}
	}
	r = &rendering{turn: make(chan struct{}, 1)}
	l.views[name] = r
	return r
}

// shared returns the rendering, made anew if it is older than fresh. One tab makes it
// while the others of the same view wait.
func (r *rendering) shared(ctx context.Context, now time.Time, render func() ([]byte, error)) ([]byte, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.data != nil && now.Sub(r.at) < fresh {
		return r.data, nil
	}
	data, err := render()
	if err != nil {
		return nil, err
	}
	r.at, r.data = now, data
	return data, nil
}

// events streams the regions of a page, until the person leaves or the session ends.
func (v *visit) events() error {
	q := v.r.URL.Query()
	if name := q.Get("view"); name != overviewView && name != frameView {
		v.fail(http.StatusNotFound, "There is no such live view.")
		return nil
	}
	if !v.live.enter(v.session.ID) {
		v.fail(http.StatusServiceUnavailable, "Too many live pages are open.")
		return nil
	}
	defer v.live.leave(v.session.ID)
	v.w.Header().Set("Content-Type", "text/event-stream")
	conn := http.NewResponseController(v.w)
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		event, last := v.nextEvent()
		_ = conn.SetWriteDeadline(time.Now().Add(2 * refreshEvery)) // not every connection has one
		if _, err := v.w.Write(event); err != nil || conn.Flush() != nil || last {
			return nil
		}
		select {
		case <-v.ctx().Done():
			return nil
		case <-tick.C:
		}
	}
}

// nextEvent is what the tab is told now. After the last one it asks no more: its session
// has ended. What else fails may work the next time.
func (v *visit) nextEvent() (events []byte, last bool) {
	data, err := v.regions()
	if p, ok := asProblem(err); ok && p.Status == http.StatusUnauthorized {
		return []byte("event: bye\ndata: .\n\n"), true
	}
	if err != nil {
		return []byte("event: wait\ndata: .\n\n"), false
	}
	return data, false
}

// regions renders what is live of the page for this person: one event a region.
func (v *visit) regions() ([]byte, error) {
	session, err := v.api.Session(v.ctx())
	if err != nil { // it may have ended meanwhile
		return nil, err
	}
	f := frame{Session: session, Files: v.files, Now: v.opts.Now().UTC()}
	names := []string{"roles", "commit"}
	q := v.r.URL.Query()
	if q.Get("view") == overviewView {
		f.Screen = "overview"
		f.Path = (&url.URL{Path: Root, RawQuery: overviewQuery(q).Encode()}).String()
		f.Back = f.Path
		names = append(names, "services", "trouble", "facts", "at")
	} else {
		f.Screen = "text" // any screen: the regions are of the frame
		f.Back = v.backTo(local(q.Get("at")))
	}
	return v.live.view(session.Role+" "+f.Screen+" "+f.Back).shared(v.ctx(), v.opts.Now(), func() ([]byte, error) {
		return v.renderRegions(f, names, overviewQuery(q))
	})
}

func (v *visit) renderRegions(f frame, names []string, q url.Values) ([]byte, error) {
	st, err := v.api.Brief(v.ctx())
	if err != nil {
		return nil, err
	}
	f.Status = &st
	v.pending(&f)
	if f.Screen == "overview" {
		f.Data = overviewOf(st, q, rank(f.Session.Role) >= rank(api.RoleOperator))
	}
	var out bytes.Buffer
	for _, name := range names {
		var b bytes.Buffer
		if err := v.views.fragment(&b, f.Screen, name+"-inner", f); err != nil {
			return nil, err
		}
		writeEvent(&out, name, b.String())
	}
	return out.Bytes(), nil
}

// writeEvent writes HTML as one server-sent event; one without any text would be none.
func writeEvent(w *bytes.Buffer, name, html string) {
	if strings.TrimSpace(html) == "" {
		html = "<!-- -->"
	}
	fmt.Fprintf(w, "event: %s\n", name)
	for line := range strings.SplitSeq(strings.ReplaceAll(html, "\r", ""), "\n") {
		if strings.TrimSpace(line) != "" {
			fmt.Fprintf(w, "data: %s\n", line)
		}
	}
	w.WriteByte('\n')
}

// Names of the live views: of the overview, and of what every page has around its screen.
const overviewView, frameView = "overview", "frame"

// Live is where the page's live regions come from, "" = nobody is logged in.
func (f frame) Live() string {
	if f.Session.User == "" || f.Status == nil {
		return ""
	}
	q := url.Values{"view": {frameView}, "at": {f.Back}}
	if f.Screen == "overview" {
		q = url.Values{}
		if u, err := url.Parse(f.Path); err == nil {
			q = overviewQuery(u.Query())
		}
		q.Set("view", overviewView)
	}
	return Root + "events?" + q.Encode()
}

// overviewQuery is what of a query changes the overview: links on it keep the rest.
func overviewQuery(q url.Values) url.Values {
	out := url.Values{}
	for _, key := range []string{"sort", "order", "open", "range"} {
		if values := q[key]; len(values) > 0 {
			out[key] = slices.Clone(values)
		}
	}
	return out
}
