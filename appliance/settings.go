package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
)

// ConfigError is a mistake in the configuration, or in a file that it names.
type ConfigError struct{ Err error }

// Error returns the mistake.
func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ConfigError) Unwrap() error { return e.Err }

// settings is the configuration file and how the node came by what is in force.
type settings struct {
	store *config.Store
	log   *slog.Logger

	reloading sync.Mutex // one reload at a time: or the older file could win

	mu      sync.Mutex
	problem string // why the file is not what is in force, "" = it is
}

// openSettings reads the configuration for the first time. A file with mistakes does
// not keep a node from serving that has served before: the last good revision is
// taken, and the status says so.
func openSettings(o Options) (*settings, lb.Config, error) {
	s := &settings{
		store: config.NewStore(o.ConfigFile, filepath.Join(o.StateDir, "history")),
		log:   o.Logger,
	}
	draft, err := s.store.Read()
	if err == nil {
		err = suits(o, draft.Config)
	}
	if err == nil {
		s.inForce(draft)
		return s, draft.Config, nil
	}
	cfg, served := s.store.LastGood()
	if !served {
		cfg, served = keptConfig(o)
	}
	if config.ErrorsOf(err) == nil || !served {
		return nil, lb.Config{}, &ConfigError{err}
	}
	s.log.Error("the configuration file has mistakes: the last good revision is taken",
		"file", o.ConfigFile, "revision", config.Revision(cfg), "err", err)
	s.problem = fmt.Sprintf("%s has mistakes, so the last good revision %s is in force: "+
		"mend what lbctl check %s shows, then lbctl reload", o.ConfigFile, config.Revision(cfg), o.ConfigFile)
	return s, cfg, nil
}

// inForce keeps a revision; one that cannot be kept is no reason to refuse a file.
func (s *settings) inForce(d config.Draft) {
	if err := s.store.Keep(d); err != nil {
		s.log.Warn("the configuration is in force, but no revision of it was kept", "err", err)
	}
	s.clear()
}

// clear says that the file is what is in force.
func (s *settings) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = ""
}

// written says that the file is what is in force, and where is what somebody had written
// into it, and nobody had reloaded, "" = nothing.
func (s *settings) written(aside string) {
	s.clear()
	if aside == "" {
		return
	}
	s.log.Warn("the configuration file was changed and not reloaded: it is set aside and written anew", "aside", aside)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = fmt.Sprintf("the configuration file had changes that nobody had reloaded when it was written anew: they are in %s; "+
		"take them as pending changes (lbctl restore %s), or end this notice (lbctl reload)", aside, aside)
}

// problems are what an operator must know about the configuration.
func (s *settings) problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem == "" {
		return nil
	}
	return []string{s.problem}
}

// Reload reads the configuration file again. A mistake in it is a [*ConfigError] and
// changes nothing.
func (a *Appliance) Reload(context.Context) error {
	a.settings.reloading.Lock()
	defer a.settings.reloading.Unlock()
	draft, err := a.settings.store.Read()
	if err != nil {
		return &ConfigError{err}
	}
	if err := unfitError(a.unfit(draft.Config)); err != nil {
		return &ConfigError{err}
	}
	if err := a.enforce(draft.Config); err != nil {
		return err
	}
	a.settings.inForce(draft)
	a.shared.changed(draft.Config)
	return nil
}

// adopt writes a configuration to the file and puts it in force. On an error nothing has
// changed.
func (a *Appliance) adopt(cfg lb.Config) error {
	a.settings.reloading.Lock()
	defer a.settings.reloading.Unlock()
	return a.replace(cfg)
}

// commit is adopt for what people have changed: the peer learns of it. No configuration of
// the peer comes in between.
func (a *Appliance) commit(cfg lb.Config) error {
	a.settings.reloading.Lock()
	defer a.settings.reloading.Unlock()
	if err := a.replace(cfg); err != nil {
		return err
	}
	now, _ := a.facts.current() // as it is written
	a.shared.changed(now)
	return nil
}

// replace is called while nobody else reloads.
func (a *Appliance) replace(cfg lb.Config) error {
	before, _ := a.facts.current()
	cfg, err := asWritten(cfg)
	if err != nil {
		return &ConfigError{err}
	}
	if err = a.enforce(cfg); err != nil {
		return err
	}
	aside, err := a.settings.store.SetAside()
	if err != nil {
		return errors.Join(err, a.enforce(before))
	}
	var history *config.HistoryError
	if err := a.settings.store.Save(cfg); errors.As(err, &history) {
		a.log.Warn("the configuration is in force, but no revision of it was kept", "err", err)
	} else if err != nil {
		return errors.Join(err, a.enforce(before))
	}
	a.settings.written(aside)
	return nil
}

// asWritten is what a reload of the file would read: nothing is in force that the file
// does not say.
func asWritten(cfg lb.Config) (lb.Config, error) {
	text, err := config.Encode(cfg)
	if err != nil {
		return cfg, err
	}
	return config.Parse("configuration", text)
}

// enforce puts a configuration in force that is valid in itself. A [*ConfigError] says
// why that cannot be; nothing has changed then.
func (a *Appliance) enforce(cfg lb.Config) error {
	now, _ := a.facts.current()
	if err := errors.Join(fixed(now, cfg), suits(a.opts, cfg)); err != nil {
		return &ConfigError{err}
	}
	finish, err := a.access.prepare(now, cfg)
	if err != nil {
		return &ConfigError{err}
	}
	if err := a.pair.reconfigure(cfg); err != nil {
		return &ConfigError{errors.Join(err, finish(false))}
	}
	if err := finish(true); err != nil {
		a.log.Warn("the certificate of the WebUI does not name its new addresses", "err", err)
	}
	a.facts.setConfig(cfg, config.Revision(cfg))
	a.loop.Dirty()
	return nil
}

// fixed refuses what a running daemon cannot change.
func fixed(now, want lb.Config) error {
	var errs []error
	if now.Node.Name != want.Node.Name {
		errs = append(errs, fmt.Errorf("node.name: %q becomes %q only when lbd starts again: restart it, or write %q", now.Node.Name, want.Node.Name, now.Node.Name))
	}
	return errors.Join(errs...)
}

// suits refuses a configuration that the options cannot serve: the lease of a pair
// lies in the kernel state that the daemon and its sentinel share.
func suits(o Options, cfg lb.Config) error {
	leased := cfg.Cluster.Paired && cfg.Cluster.Lease
	if leased && o.Dataplane == ipvsEngine {
		return errors.New("cluster.lease_guard: IPVS cannot fall silent when the lease is lost: set it to false, or start lbd without --dataplane ipvs")
	}
	if leased && o.BPFFS == "" && o.Dataplane != memoryEngine {
		return errors.New("cluster.paired: a pair needs kernel state that outlives the daemon: start lbd with --bpffs and a directory on a bpffs, for example /sys/fs/bpf/vosbed")
	}
	return nil
}
