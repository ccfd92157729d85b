package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
)

// trial is how long a new network configuration stays without being confirmed; the daemon
// takes it back by itself.
const trial = time.Minute

// setUp is the first set-up: network, then the password (guide 9.2).
func (m *Machine) setUp(ctx context.Context, t Terminal) error {
	if err := m.setUpNetwork(ctx, t); err != nil {
		return err
	}
	return m.setPassword(ctx, t)
}

// setUpNetwork asks, shows, applies, and takes it back unless it is confirmed.
func (m *Machine) setUpNetwork(ctx context.Context, t Terminal) error {
	cfg, before, err := m.config(ctx)
	if err != nil {
		return err
	}
	taken := func(c Card) bool { // VLANs have their own question, and members are their bond's
		i, ours := cfg.Node.System.Interface(c.Name)
		return ours && !i.VLAN.Zero() || cfg.Node.System.BondOf(c.Name) != ""
	}
	answered, err := ask(t, slices.DeleteFunc(m.Cards(), taken), presentIn(cfg))
	if err != nil {
		return err
	}
	text, err := config.Encode(answered.into(cfg))
	if err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	if string(text) == string(before) {
		t.Say("Everything is so already.")
		return nil
	}
	t.Say(answered.summary())
	if sure, err := confirm(t, "Apply these settings?", 0); err != nil || !sure {
		return errors.Join(err, errNotTaken)
	}
	if err := m.try(ctx, text); err != nil {
		return err
	}
	return m.keep(ctx, t)
}

// try puts a configuration in force on trial.
func (m *Machine) try(ctx context.Context, text []byte) error {
	draft, err := m.Daemon.Draft(ctx)
	if err != nil {
		return answers(err)
	}
	if len(draft.Changes) > 0 {
		return fmt.Errorf("%d changes are pending in the WebUI (Commit changes): apply or discard them first", len(draft.Changes))
	}
	if err = m.Daemon.Restore(ctx, draft.Tag, text); err != nil {
		return answers(err)
	}
	if draft, err = m.Daemon.Draft(ctx); err != nil {
		return answers(err)
	}
	if len(draft.Mistakes) > 0 {
		return errors.Join(mistakes(draft), answers(m.Daemon.Discard(ctx, draft.Tag)))
	}
	if err := m.Daemon.Apply(ctx, draft.Tag, trial.String()); err != nil {
		return errors.Join(answers(err), m.Daemon.Discard(ctx, draft.Tag))
	}
	return nil
}

// mistakes are what keeps a draft from taking effect.
func mistakes(d api.Draft) error {
	var out []string
	for _, mistake := range d.Mistakes {
		out = append(out, strings.TrimSpace(mistake.Path+": "+mistake.Message+" "+mistake.Hint))
	}
	return fmt.Errorf("this cannot be:\n  %s", strings.Join(out, "\n  "))
}

// keep asks whether the new settings shall stay. No answer is a no: a person who has lost
// the console by them gets it back.
func (m *Machine) keep(ctx context.Context, t Terminal) error {
	t.Say(fmt.Sprintf("The settings are in force. They go back in %d seconds unless you keep them.", int(trial.Seconds())))
	yes, err := confirm(t, "Keep them?", trial)
	if err == nil && yes {
		return answers(m.Daemon.Keep(ctx))
	}
	if err != nil && !errors.Is(err, ErrSilence) {
		return err
	}
	if errors.Is(err, ErrSilence) {
		t.Say("")
		return errNotTaken
	}
	return errors.Join(errNotTaken, answers(m.Daemon.Undo(ctx)))
}

// setPassword asks for a password twice; the daemon judges it.
func (m *Machine) setPassword(ctx context.Context, t Terminal) error {
	for {
		first, err := t.Secret("New password of " + User + ": ")
		if err != nil || first == "" {
			return errors.Join(err, errNotTaken)
		}
		again, err := t.Secret("Once more: ")
		if err != nil {
			return err
		}
		if first != again {
			t.Say("  The two differ.")
			continue
		}
		err = answers(m.Daemon.SetAccount(ctx, User, api.NewAccount{Role: api.RoleAdmin, Password: first}))
		if errors.Is(err, errDaemon) {
			return err
		}
		if err != nil {
			t.Say("  " + err.Error())
			continue
		}
		t.Say("The password is set.")
		if m.Remote != nil {
			return m.Remote.Password(first)
		}
		return nil
	}
}

// setRemote switches the log-in over SSH.
func (m *Machine) setRemote(_ context.Context, t Terminal) error {
	on := m.Remote.On()
	question := "SSH is off. Allow people to log in as root, by key or with the console's password?"
	if on {
		question = "SSH is on (port 22, user root). Switch it off?"
	}
	yes, err := confirm(t, question, 0)
	if err != nil || !yes {
		return err
	}
	if on {
		return m.Remote.Set(false)
	}
	key, err := t.Ask("Public key, as in authorized_keys (- for none) ["+shownKey(m.Remote.Keys())+"]: ", 0)
	if err != nil {
		return err
	}
	switch key {
	case "":
	case "-":
		err = m.Remote.SetKeys("")
	default:
		err = m.Remote.SetKeys(key + "\n")
	}
	return errors.Join(err, m.Remote.Set(err == nil))
}

// shownKey is the end of what is there, which is mostly the comment.
func shownKey(keys string) string {
	fields := strings.Fields(keys)
	if len(fields) == 0 {
		return "none"
	}
	return fields[len(fields)-1]
}
