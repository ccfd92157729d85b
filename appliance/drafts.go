package appliance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/draft"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/lb"
)

// drafts is the pending configuration as the management API shows it.
type drafts struct{ *Appliance }

// Draft tells what is pending.
func (d drafts) Draft(context.Context) (api.Draft, error) {
	s := d.draft.State()
	out := api.Draft{
		Tag: s.Tag, Base: s.Base, Stale: s.Stale, Changes: []api.Change{}, Mistakes: []api.Mistake{},
		Impact: impact(d.Status(), s.Changes), Overtaken: d.shared.notice(),
		TrialOnly: cutsOff(s.Changes) || movesDoor(s.Changes),
	}
	for _, c := range s.Changes {
		out.Changes = append(out.Changes, api.Change{Text: c.Text, Path: c.Path, Before: c.Before, After: c.After, Author: c.Author, At: c.At})
	}
	for _, m := range s.Mistakes {
		out.Mistakes = append(out.Mistakes, api.Mistake{Path: m.Path, Message: m.Message, Hint: m.Hint})
	}
	if s.Trial != nil {
		out.Trial = &api.Trial{Until: s.Trial.Until, Author: s.Trial.Author}
	}
	return out, nil
}

// impact counts the present sessions, and those of them that the changes end.
func impact(st lb.Status, changes []draft.Change) api.Impact {
	ends := map[lb.RealID]bool{} // Real "" = the whole service
	for _, c := range changes {
		if c.Ends {
			ends[lb.RealID{Service: c.Service, Real: c.Real}] = true
		}
	}
	var out api.Impact
	for _, svc := range st.Services {
		for _, r := range svc.Reals {
			out.Sessions += r.Counters.ActiveConns
			if ends[lb.RealID{Service: svc.Name}] || ends[lb.RealID{Service: svc.Name, Real: r.Name}] {
				out.Affected += r.Counters.ActiveConns
			}
		}
	}
	return out
}

// Services lists the virtual services of the draft.
func (d drafts) Services(context.Context) ([]api.ServiceDraft, error) {
	s := d.draft.State()
	out := []api.ServiceDraft{}
	for _, svc := range s.Config.Services {
		out = append(out, serviceDraft(s.Tag, svc))
	}
	return out, nil
}

func serviceDraft(tag string, s lb.VirtualService) api.ServiceDraft {
	out := api.ServiceDraft{Tag: tag, Fields: api.Fields(config.ServiceFields(s)), CheckURL: checkURL(s), Servers: []api.ServerDraft{}}
	for _, r := range s.Reals {
		out.Servers = append(out.Servers, api.ServerDraft{Fields: api.Fields(config.RealFields(r))})
	}
	return out
}

// checkURL is where the check of a service goes, for its first real server or, while
// there is none, for one to come.
func checkURL(s lb.VirtualService) string {
	if len(s.Reals) > 0 {
		return s.Check.Target(s.Reals[0].Addr)
	}
	return strings.Replace(s.Check.Target(s.Addr), s.Addr.String(), "REAL-SERVER", 1)
}

// Read returns one object of the draft.
func (d drafts) Read(_ context.Context, at mgmt.Place) (api.ServiceDraft, error) {
	s := d.draft.State()
	switch at.Part {
	case "":
	case "node":
		return api.ServiceDraft{Tag: s.Tag, Fields: api.Fields(config.NodeFields(s.Config.Node))}, nil
	case "cluster":
		return api.ServiceDraft{Tag: s.Tag, Fields: api.Fields(config.ClusterFields(s.Config.Cluster))}, nil
	default:
		return api.ServiceDraft{}, fmt.Errorf("%w: the configuration has no part %q: use node or cluster", mgmt.ErrNotFound, at.Part)
	}
	i, j, err := find(s.Config, at)
	if err != nil {
		return api.ServiceDraft{}, err
	}
	if at.Server == "" {
		return serviceDraft(s.Tag, s.Config.Services[i]), nil
	}
	return api.ServiceDraft{Tag: s.Tag, Fields: api.Fields(config.RealFields(s.Config.Services[i].Reals[j]))}, nil
}

// find returns the indices of a service and, if one is named, of its real server.
func find(cfg lb.Config, at mgmt.Place) (i, j int, err error) {
	i = slices.IndexFunc(cfg.Services, func(s lb.VirtualService) bool { return s.Name == at.Service })
	if i < 0 {
		return 0, 0, fmt.Errorf("%w: there is no virtual service %q", mgmt.ErrNotFound, at.Service)
	}
	if at.Server == "" {
		return i, -1, nil
	}
	j = slices.IndexFunc(cfg.Services[i].Reals, func(r lb.RealServer) bool { return r.Name == at.Server })
	if j < 0 {
		return 0, 0, fmt.Errorf("%w: virtual service %q has no real server %q", mgmt.ErrNotFound, at.Service, at.Server)
	}
	return i, j, nil
}

// Write changes one object of the draft.
func (d drafts) Write(ctx context.Context, by mgmt.By, at mgmt.Place, fields api.Fields, add bool) error {
	if err := d.editable(at.Part == "node"); err != nil {
		return err
	}
	return refusal(d.draft.Edit(ctx, by.Tag, by.User, func(cfg *lb.Config) error {
		before := config.Mistakes(*cfg)
		path, err := edit(cfg, at, config.Fields(fields), add)
		if err != nil {
			return err
		}
		return fresh(before, config.Mistakes(*cfg), path)
	}))
}

// editable refuses changes where they would be lost: services are configured on the
// primary (guide 14.1), and on the secondary only while there is no primary, or while its
// own changes of such a time wait to be looked at. Settings of the node itself are its own.
func (d drafts) editable(own bool) error {
	cfg, _ := d.facts.current()
	if !own && cfg.Cluster.Paired && cfg.Node.Seat == lb.Secondary && d.pair.status().PeerAlive && !d.shared.unread() {
		return fmt.Errorf("%w: this is the Secondary appliance: make changes on the Primary, which keeps this one in sync", mgmt.ErrRefused)
	}
	return nil
}

// Restore makes the draft equal to a file. The node's own part is taken from a file of
// this node alone.
func (d drafts) Restore(ctx context.Context, by mgmt.By, yaml []byte) error {
	if err := d.editable(false); err != nil {
		return err
	}
	file, err := config.Parse("the file", yaml)
	if err != nil {
		return &mgmt.InvalidError{Detail: "the file is no configuration of this version, or has mistakes", Errors: strings.Split(err.Error(), "\n")}
	}
	return refusal(d.draft.Edit(ctx, by.Tag, by.User, func(cfg *lb.Config) error {
		if file.Node.Name != cfg.Node.Name {
			file = config.WithCluster(*cfg, file)
		}
		*cfg = file
		return nil
	}))
}

// Apply puts the draft in force.
func (d drafts) Apply(ctx context.Context, by mgmt.By, within time.Duration) error {
	changes := d.draft.State().Changes
	others := func(c draft.Change) bool { return !strings.HasPrefix(c.Path, "node/") }
	if err := d.editable(!slices.ContainsFunc(changes, others)); err != nil {
		return err
	}
	if within == 0 && cutsOff(changes) {
		return errTrialOnly
	}
	if within > 0 && d.pairing.prepared() {
		return fmt.Errorf("%w: a pair cannot be made on trial: apply the changes for good, or discard them", mgmt.ErrRefused)
	}
	if within == 0 && movesDoor(changes) {
		return fmt.Errorf("%w: a change of the WebUI's own addresses can lock everybody out, so it goes on trial: use Apply with 60-second auto-rollback (lbctl apply --trial 60s), open the WebUI at the new address, and keep it there", mgmt.ErrRefused)
	}
	err := d.draft.Apply(ctx, by.Tag, by.User, within)
	again := errors.Is(err, draft.ErrEmpty) && d.pairing.prepared() // the peer did not join the last time
	if err != nil && !again {
		return refusal(err)
	}
	d.shared.acknowledge()
	return d.pairing.complete(ctx)
}

// movesDoor reports whether changes concern the sockets through which people come.
func movesDoor(changes []draft.Change) bool {
	return slices.ContainsFunc(changes, func(c draft.Change) bool {
		return c.Path == "node/management" || c.Path == "node/management_http"
	})
}

// End obeys discard, keep and undo.
func (d drafts) End(ctx context.Context, by mgmt.By, verb string) error {
	switch verb {
	case "discard":
		d.pairing.forget()
		err := d.draft.Discard(by.Tag, by.User)
		if (err == nil || errors.Is(err, draft.ErrEmpty)) && d.shared.acknowledge() {
			return nil
		}
		return refusal(err)
	case "keep":
		return refusal(d.draft.Keep(by.User))
	}
	return refusal(d.draft.Undo(ctx, by.User))
}

// refusal tells the API what an error of the draft means.
func refusal(err error) error {
	var (
		fields   config.FieldsError
		mistakes *draft.MistakesError
		wrong    *ConfigError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fields):
		return &mgmt.FieldsError{Fields: fields}
	case errors.As(err, &mistakes):
		return &mgmt.InvalidError{Detail: "the pending configuration is not complete", Errors: strings.Split(mistakes.Error(), "\n")}
	case errors.As(err, &wrong):
		return &mgmt.InvalidError{Detail: "the pending configuration cannot take effect", Errors: strings.Split(wrong.Error(), "\n")}
	case errors.Is(err, draft.ErrConflict), errors.Is(err, draft.ErrEmpty), errors.Is(err, draft.ErrTrial), errors.Is(err, draft.ErrNoTrial):
		return fmt.Errorf("%w: %w", mgmt.ErrRefused, err)
	}
	return err
}

// History lists what was in force, newest first.
func (d drafts) History(context.Context) ([]api.Revision, error) {
	saved, err := d.settings.store.History()
	if err != nil {
		return nil, err
	}
	_, current := d.facts.current()
	out := []api.Revision{}
	var later *lb.Config
	for _, s := range saved {
		one := api.Revision{Number: s.Number, Revision: s.Revision, Current: s.Revision == current, Changes: []api.Change{}}
		if info, err := os.Stat(s.Path); err == nil {
			one.At = info.ModTime().UTC()
		}
		cfg, err := d.settings.store.Revision(s)
		if err == nil && later != nil {
			out[len(out)-1].Changes = wireChanges(config.Diff(cfg, *later))
		}
		later = nil
		if err == nil {
			later = &cfg
		}
		out = append(out, one)
	}
	return out, nil
}

func wireChanges(changes []config.Change) []api.Change {
	out := []api.Change{}
	for _, c := range changes {
		out = append(out, api.Change{Text: c.Text, Path: c.Path, Before: c.Before, After: c.After})
	}
	return out
}

// saved finds a revision by its number.
func (d drafts) saved(number int) (config.Saved, error) {
	all, err := d.settings.store.History()
	if err != nil {
		return config.Saved{}, err
	}
	for _, s := range all {
		if s.Number == number {
			return s, nil
		}
	}
	return config.Saved{}, fmt.Errorf("%w: there is no revision %d", mgmt.ErrNotFound, number)
}

// Revision returns one of them as YAML.
func (d drafts) Revision(_ context.Context, number int) ([]byte, error) {
	s, err := d.saved(number)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(s.Path)
}

// Revert makes the draft equal to one of them, but for the node's own part.
func (d drafts) Revert(ctx context.Context, by mgmt.By, number int) error {
	if err := d.editable(false); err != nil {
		return err
	}
	s, err := d.saved(number)
	if err != nil {
		return err
	}
	former, err := d.settings.store.Revision(s)
	if err != nil {
		return err
	}
	return refusal(d.draft.Edit(ctx, by.Tag, by.User, func(cfg *lb.Config) error {
		*cfg = config.WithCluster(*cfg, former)
		return nil
	}))
}
