package appliance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/internal/updateserver"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/bundle"
)

// onlineUpdates come from the update server of the configuration in force.
type onlineUpdates struct {
	updates

	times updateserver.Times
	known *lastCheck
}

// How often a server is asked by itself, and how soon after the start. A failure is not
// worth more: an administrator sees it when he checks.
const (
	lookEvery = 24 * time.Hour
	lookFirst = 5 * time.Minute
	lookStep  = 10 * time.Minute
)

// lastCheck is what an update server said last, and when which was asked last.
type lastCheck struct {
	mu     sync.Mutex
	server lb.Update
	at     time.Time
	index  bundle.Index
	asked  lb.Update
	tried  time.Time
}

func newOnlineUpdates(u updates) onlineUpdates {
	return onlineUpdates{u, updateserver.Usual(), &lastCheck{}}
}

func (o onlineUpdates) settings() lb.Update {
	cfg, _ := o.facts.current()
	return cfg.Node.Update
}

// Known is what is known without asking. What another server said is forgotten.
func (o onlineUpdates) Known(context.Context) (api.OnlineUpdate, error) {
	if o.manager == nil {
		return api.OnlineUpdate{}, o.why
	}
	set := o.settings()
	out := api.OnlineUpdate{Server: set.Server, Manual: set.Manual}
	o.known.mu.Lock()
	defer o.known.mu.Unlock()
	if o.known.at.IsZero() || o.known.server != set {
		return out, nil
	}
	x := o.known.index
	out.Checked, out.Latest = new(o.known.at), x.Version
	if o.manager.Newer(x.Version) {
		out.Available = &api.AvailableUpdate{Version: x.Version, Size: x.Size, SHA256: x.SHA256, Notes: x.Notes}
	}
	return out, nil
}

// watch looks for a newer version once a day (guide 9.4.1), at another time of the day on
// every appliance.
func (o onlineUpdates) watch(ctx context.Context) error {
	o.known.lookOut(ctx, o.settings, o.look)
	return nil
}

func (l *lastCheck) lookOut(ctx context.Context, settings func() lb.Update, look func(context.Context)) {
	wait := lookFirst + rand.N(lookStep)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = lookStep
		if set := settings(); l.due(set, time.Now()) {
			l.trying(set)
			look(ctx)
		}
	}
}

// due tells whether the server that is configured is to be asked.
func (l *lastCheck) due(set lb.Update, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return set.Server != "" && !set.Manual && (l.asked != set || now.Sub(l.tried) >= lookEvery)
}

func (l *lastCheck) trying(set lb.Update) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.tried = set, time.Now()
}

func (o onlineUpdates) look(ctx context.Context) {
	if o.manager == nil {
		return // packages update this machine
	}
	found, err := o.Check(ctx)
	switch {
	case err != nil:
		o.log.WarnContext(ctx, "the update server was asked in vain", "err", err)
	case found.Available != nil:
		o.log.InfoContext(ctx, "a newer version is available", "version", found.Available.Version, "server", found.Server)
	}
}

// Check asks the server.
func (o onlineUpdates) Check(ctx context.Context) (api.OnlineUpdate, error) {
	server, err := o.server()
	if err != nil {
		return api.OnlineUpdate{}, err
	}
	defer server.Close()
	if _, err := o.ask(ctx, server); err != nil {
		return api.OnlineUpdate{}, err
	}
	return o.Known(ctx)
}

// ask keeps what the server says.
func (o onlineUpdates) ask(ctx context.Context, server *updateserver.Server) (bundle.Index, error) {
	set := o.settings()
	o.known.trying(set)
	x, err := server.Latest(ctx)
	if err != nil {
		return bundle.Index{}, fmt.Errorf("%w: %w", mgmt.ErrRefused, err)
	}
	o.known.mu.Lock()
	defer o.known.mu.Unlock()
	o.known.server, o.known.at, o.known.index = set, time.Now(), x
	return x, nil
}

// server is the one that is configured.
func (o onlineUpdates) server() (*updateserver.Server, error) {
	if o.manager == nil {
		return nil, o.why
	}
	set := o.settings()
	if set.Server == "" {
		return nil, fmt.Errorf("%w: no update server is configured, and nobody is asked: set node.update.server, or install an archive", mgmt.ErrRefused)
	}
	key, err := o.manager.Key()
	if err != nil {
		return nil, updateError(err)
	}
	server, err := updateserver.New(set, key, o.times)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", mgmt.ErrRefused, err)
	}
	return server, nil
}

// Fetch fetches a version and installs it as one that was sent.
func (o onlineUpdates) Fetch(ctx context.Context, version string) (out api.Update, err error) {
	server, err := o.server()
	if err != nil {
		return api.Update{}, err
	}
	defer server.Close()
	up, err := o.Receive(ctx)
	if err != nil {
		return api.Update{}, err
	}
	defer func() { err = errors.Join(err, up.Close()) }()
	x, err := o.ask(ctx, server)
	switch {
	case err != nil:
		return api.Update{}, err
	case x.Version != version:
		return api.Update{}, fmt.Errorf("%w: the update server has version %s now, and not %s: check for updates again", mgmt.ErrRefused, x.Version, version)
	case !o.manager.Newer(version):
		return api.Update{}, fmt.Errorf("%w: version %s is not newer than the running one", mgmt.ErrRefused, version)
	}
	o.log.InfoContext(ctx, "a software update is fetched", "version", version, "server", o.settings().Server)
	disk := &sink{to: up}
	if err = server.Fetch(ctx, x, disk); err != nil {
		if disk.err != nil {
			return api.Update{}, disk.err // it tells whose it is
		}
		return api.Update{}, fmt.Errorf("%w: nothing was changed: %w", mgmt.ErrRefused, err)
	}
	return up.Install(ctx, nil, false)
}

// sink remembers why an archive could not be kept, as opposed to fetched.
type sink struct {
	to  mgmt.UpdateUpload
	err error
}

// Write passes on.
func (s *sink) Write(p []byte) (int, error) {
	n, err := s.to.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}
