package drive

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
)

// A page is quiet when for a moment it has loaded nothing; one that never is, because
// it polls, is taken as it is after a while.
const (
	quietTime = 150 * time.Millisecond
	quietMost = 10 * time.Second
)

// traffic is what the page is loading.
type traffic struct {
	mu      sync.Mutex
	open    map[network.RequestID]bool
	loading map[string]bool // frames
	since   time.Time       // of the last change
	changed chan struct{}
}

func newTraffic() *traffic {
	return &traffic{open: map[network.RequestID]bool{}, loading: map[string]bool{}, since: time.Now(), changed: make(chan struct{}, 1)}
}

// note takes an event of the page. It does not block: it runs between the events.
func (t *traffic) note(ev any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		if waitedFor(e.Type) {
			t.open[e.RequestID] = true
		}
	case *network.EventLoadingFinished:
		delete(t.open, e.RequestID)
	case *network.EventLoadingFailed:
		delete(t.open, e.RequestID)
	case *page.EventFrameStartedLoading:
		t.loading[string(e.FrameID)] = true
	case *page.EventFrameStoppedLoading:
		delete(t.loading, string(e.FrameID))
	case *page.EventFrameNavigated:
		if e.Frame != nil && e.Frame.ParentID == "" { // what the page before asked for is of no interest
			clear(t.open)
		}
	case *page.EventFrameRequestedNavigation, *page.EventFrameStartedNavigating:
	default:
		return
	}
	t.since = time.Now()
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// touch begins the quiet moment anew: what was just done may have consequences that are
// not known yet.
func (t *traffic) touch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = time.Now()
}

// waitedFor tells requests that end from those that stay open, such as events.
func waitedFor(kind network.ResourceType) bool {
	switch kind { //nolint:exhaustive // the others stay open, or nobody sees them
	case "Document", "XHR", "Fetch", "Script", "Stylesheet":
		return true
	}
	return false
}

// rest is how long the page must still be quiet, 0 if it has been; busy means that it
// loads something.
func (t *traffic) rest() (d time.Duration, busy bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) > 0 || len(t.loading) > 0 {
		return quietMost, true
	}
	return max(0, quietTime-time.Since(t.since)), false
}

// settle waits until the page is quiet.
func (t *traffic) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, quietMost, errLoud)
	defer cancel()
	for {
		d, busy := t.rest()
		if d == 0 && !busy {
			return nil
		}
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-t.changed:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return loud(ctx)
		}
	}
}

// errLoud ends the wait for a page that is never quiet.
var errLoud = errors.New("the page is never quiet")

// loud is the error of a wait that ended: none if only the page was at fault.
func loud(ctx context.Context) error {
	if err := context.Cause(ctx); !errors.Is(err, errLoud) {
		return err
	}
	return nil
}
