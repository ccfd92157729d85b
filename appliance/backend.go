package appliance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/internal/stick"
	"github.com/vosbed/vosbed/appliance/lb"
)

// backend is what the management API may do to the appliance.
type backend struct{ *Appliance }

// SetServer keeps the operator's wish and lets it follow.
func (b backend) SetServer(ctx context.Context, id lb.RealID, want lb.Override) error {
	if !b.facts.has(id) {
		return fmt.Errorf("%w: no real server %s in the running configuration", mgmt.ErrNotFound, id)
	}
	if err := b.facts.overrides.Set(id, want); err != nil {
		return err
	}
	b.log.InfoContext(ctx, "operator set a real server", "vip", id.Service, "rip", id.Real, "state", want.State.String())
	b.loop.Dirty()
	return nil
}

// Pair obeys takeover and release.
func (b backend) Pair(ctx context.Context, command string) error {
	if cfg, _ := b.facts.current(); !cfg.Cluster.Paired {
		return fmt.Errorf("%w: this node has no peer", mgmt.ErrRefused)
	}
	if err := b.pair.command(ctx, command); err != nil {
		return fmt.Errorf("%w: %w", mgmt.ErrRefused, err)
	}
	return nil
}

// Reload reads the file again; its mistakes are the caller's business.
func (b backend) Reload(ctx context.Context) error {
	err := b.Appliance.Reload(ctx)
	if _, theirs := errors.AsType[*ConfigError](err); !theirs {
		return err
	}
	invalid := &mgmt.InvalidError{Detail: "the configuration cannot be taken over: nothing was changed"}
	for _, m := range config.ErrorsOf(err) {
		invalid.Errors = append(invalid.Errors, m.Error())
	}
	if invalid.Errors == nil {
		invalid.Errors = strings.Split(err.Error(), "\n")
	}
	return invalid
}

// Config is the running configuration, not the file's present text.
func (b backend) Config(context.Context) (text []byte, revision string, err error) {
	cfg, revision := b.facts.current()
	text, err = config.Encode(cfg)
	return text, revision, err
}

// tables lists the persistence tables of both layers.
func (a *Appliance) tables() []dataplane.Entries {
	out := []dataplane.Entries{stick.Face{Table: a.table}}
	if a.engine.entries != nil {
		out = append(out, a.engine.entries)
	}
	return out
}

// Persistence lists the entries of both layers that match.
func (b backend) Persistence(ctx context.Context, f mgmt.Filter) ([]lb.PersistenceEntry, error) {
	var out []lb.PersistenceEntry
	for _, t := range b.tables() {
		entries, err := t.Export(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if b.matches(e, f) {
				out = append(out, e)
			}
		}
	}
	return out, nil
}

func (b backend) matches(e lb.PersistenceEntry, f mgmt.Filter) bool {
	return (f.Service == "" || f.Service == e.Service) &&
		(f.Server == "" || f.Server == e.Server) &&
		(!f.Client.IsValid() || b.masked(e.Service, f.Client) == e.Client)
}

// masked is the address under which a service keeps a client.
func (b backend) masked(service string, client netip.Addr) netip.Addr {
	cfg, _ := b.facts.current()
	for _, svc := range cfg.Services {
		if svc.Name == service {
			return svc.Persistence.Key(client)
		}
	}
	return client
}

// Clear removes the matching entries. A client is masked for each service in turn,
// as its entries are.
func (b backend) Clear(ctx context.Context, f mgmt.Filter) (int, error) {
	total := 0
	var errs []error
	sels := b.selectors(f)
	for _, sel := range sels {
		for _, t := range b.tables() {
			n, err := t.Clear(ctx, sel)
			total += n
			errs = append(errs, err)
		}
	}
	return total, errors.Join(append(errs, b.pair.repl.clear(ctx, sels))...)
}

func (b backend) selectors(f mgmt.Filter) []dataplane.Selector {
	if !f.Client.IsValid() {
		return []dataplane.Selector{{Service: f.Service, Server: f.Server}}
	}
	cfg, _ := b.facts.current()
	var out []dataplane.Selector
	for _, svc := range cfg.Services {
		if f.Service == "" || f.Service == svc.Name {
			out = append(out, dataplane.Selector{
				Service: svc.Name, Server: f.Server, Client: svc.Persistence.Key(f.Client),
			})
		}
	}
	return out
}
