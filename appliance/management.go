package appliance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/vosbed/vosbed/appliance/internal/front"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
)

// management opens the API's sockets and prepares the web process; it returns the tasks.
func (a *Appliance) management(ctx context.Context) ([]task, error) {
	people, err := openPeople(a.opts.StateDir)
	if err != nil {
		return nil, err
	}
	b, d, e, u := backend{a}, drafts{a}, newExternal(a), openUpdates(a)
	online := newOnlineUpdates(u)
	people.Directory = e
	server, err := mgmt.New(mgmt.Options{
		Backend: mgmt.Backend{Status: b, Operator: b, Table: b, Config: b, Drafts: d, Past: d, Pairing: a.pairing, Graphs: b, Logs: a.book, System: b, Events: a.events, Rates: a.rates, Support: &helpdesk{Appliance: a, people: people}, Backups: &backups{Appliance: a, people: people}, Access: doorkeeper{a}, Authentication: e, Updates: u, Online: online},
		People:  people,
		Logger:  a.log, Pin: a.access.pin,
		TokenFile: filepath.Join(a.opts.StateDir, "token"),
	})
	if err != nil {
		return nil, err
	}
	socket, err := mgmt.ListenUnix(ctx, a.opts.Socket, 0)
	if err != nil {
		return nil, err
	}
	more, err := a.webTasks(ctx, server)
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	return append(more,
		task{"management socket", func(ctx context.Context) error { return server.ServeUnix(ctx, socket) }},
		task{"update server", online.watch}), nil
}

// webTasks are the web process and the socket through which it comes.
func (a *Appliance) webTasks(ctx context.Context, server *mgmt.Server) ([]task, error) {
	uid, gid, err := webIDs()
	if err != nil {
		return nil, fmt.Errorf("find the user of the web process: %w", err)
	}
	inner, err := mgmt.ListenPrivate(ctx)
	if err != nil {
		return nil, err
	}
	handle := front.New(front.Options{Socket: inner.Addr().String(), UID: uint32(uid), GID: uint32(gid), Logger: a.log})
	cfg, _ := a.facts.current()
	change, err := handle.Prepare(ctx, sockets(a.access.here(cfg)))
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	change.Commit()
	a.access.handle.Store(handle)
	if err := a.access.show(cfg.Node); err != nil {
		return nil, errors.Join(err, handle.Close(), inner.Close())
	}
	return []task{
		{"web socket", func(ctx context.Context) error { return server.ServeWeb(ctx, inner, uid) }},
		{"web process", handle.Run},
	}, nil
}
