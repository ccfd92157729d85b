package console

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// Terminal is where a person answers.
type Terminal interface {
	// Ask shows a prompt and returns the line that is typed, "" = only Enter. It gives up
	// with ErrSilence after that time; 0 = never.
	Ask(prompt string, within time.Duration) (string, error)
	// Secret is Ask without showing what is typed, and without an end.
	Secret(prompt string) (string, error)
	Say(text string)
}

// ErrSilence says that nobody answered in time.
var ErrSilence = errors.New("there was no answer")

// User is the account whose password the set-up asks for (guide 9.2).
const User = "loadbalancer"

// End is how the machine shall end.
type End int

// The ends.
const (
	PowerOff End = iota + 1
	Restart
)

// Card is a network interface of the machine.
type Card struct {
	Name, MAC string
	Up        bool // it has a carrier
	Addrs     []string
}

// Machine is what the console shows and does to the machine.
type Machine struct {
	// Daemon is called over its unix socket: the console is root's.
	Daemon *api.Client
	// Cards lists the network interfaces.
	Cards func() []Card
	// Troubles are what went wrong at the start, and why the daemon ended last.
	Troubles func() []string
	// Awaited says that the password was given while the machine was deployed and is not in
	// force yet; nil = it is never.
	Awaited func() bool
	// Shell gives the person a command line on that terminal until it is left.
	Shell func(Terminal) error
	// Remote tells and sets whether people may log in over SSH; nil = the machine has none.
	Remote *Remote
	End    func(End)
}

// Remote is the log-in over the network.
type Remote struct {
	On  func() bool
	Set func(on bool) error
	// Password makes a new password of the console that of SSH.
	Password func(string) error
	// Keys returns and replaces the public keys, in OpenSSH's format.
	Keys    func() string
	SetKeys func(string) error
}

// Bounds in time: of a call of the daemon, and between two looks at its status.
const (
	patience = 10 * time.Second
	refresh  = 5 * time.Second
)

// Serve shows the status on a terminal and lets a person in, until ctx ends or the terminal
// fails.
func (m *Machine) Serve(ctx context.Context, t Terminal) error {
	shown := ""
	for ctx.Err() == nil {
		prompt := ""
		if text := m.status(ctx); text != shown {
			t.Say(text)
			shown, prompt = text, "Press Enter to log in. "
		}
		_, err := t.Ask(prompt, refresh)
		if errors.Is(err, ErrSilence) {
			continue
		}
		if err != nil {
			return err
		}
		if err := m.session(ctx, t); err != nil {
			t.Say("  " + err.Error())
		}
		shown = ""
	}
	return nil
}

// session is one person's stay. Before the set-up there is no password: who stands at the
// console of a new machine owns it.
func (m *Machine) session(ctx context.Context, t Terminal) error {
	owned, err := m.owned(ctx)
	if err != nil {
		return err
	}
	if !owned {
		return m.setUp(ctx, t)
	}
	if err := m.logIn(ctx, t); err != nil {
		return err
	}
	return m.menu(ctx, t)
}

// errAwaited is told to who is faster than the deployment.
var errAwaited = errors.New("what was given while the machine was deployed is being set: wait a moment and press Enter again")

// owned reports whether an account exists. It is an error while one is on its way.
func (m *Machine) owned(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	awaited := m.Awaited != nil && m.Awaited() // before it is asked for: no longer awaited, it is there
	accounts, err := m.Daemon.Accounts(ctx)
	if err != nil {
		return false, answers(err)
	}
	if len(accounts) == 0 && awaited {
		return false, errAwaited
	}
	return len(accounts) > 0, nil
}

// errDaemon is told when the daemon does not answer.
var errDaemon = errors.New("the load balancer daemon does not answer yet: wait a moment and press Enter again")

// answers makes a sentence of a call's error.
func answers(err error) error {
	if err == nil {
		return nil
	}
	if problem, ok := errors.AsType[*api.ProblemError](err); ok {
		return errors.New(strings.Join(append([]string{problem.Problem.Detail}, problem.Problem.Errors...), "\n  "))
	}
	return errDaemon
}

// logIn asks for the password; the daemon slows down who guesses.
func (m *Machine) logIn(ctx context.Context, t Terminal) error {
	password, err := t.Secret("Password of " + User + ": ")
	if err != nil {
		return err
	}
	in, err := m.Daemon.Login(ctx, User, password)
	if err != nil {
		return answers(err)
	}
	return answers(m.Daemon.As(in.Token, nil).Logout(ctx))
}

// choice is a line of the menu.
type choice struct {
	name string
	do   func(context.Context, Terminal) error
}

func (m *Machine) choices() []choice {
	out := []choice{
		{"Network, host name and time", m.setUpNetwork},
		{"Password", m.setPassword},
		{"Command line", func(_ context.Context, t Terminal) error { return m.Shell(t) }},
		{"Restart the machine", func(_ context.Context, t Terminal) error { return m.end(t, Restart) }},
		{"Power off", func(_ context.Context, t Terminal) error { return m.end(t, PowerOff) }},
	}
	if m.Remote != nil {
		out = append(out, choice{"Log-in over SSH", m.setRemote})
	}
	return out
}

func (m *Machine) menu(ctx context.Context, t Terminal) error {
	all := m.choices()
	for ctx.Err() == nil {
		t.Say("")
		for i, c := range all {
			t.Say("  " + number(i+1) + "  " + c.name)
		}
		answer, err := t.Ask("Choose, or press Enter to log out: ", 0)
		if err != nil || answer == "" {
			return err
		}
		for i, c := range all {
			if answer != number(i+1) {
				continue
			}
			if err := c.do(ctx, t); err != nil {
				t.Say("  " + err.Error())
			}
		}
	}
	return nil
}

func number(n int) string { return string(rune('0' + n)) }

// end ends the machine if the person means it.
func (m *Machine) end(t Terminal, how End) error {
	sure, err := confirm(t, "This node stops balancing. Sure?", 0)
	if err == nil && sure {
		m.End(how)
	}
	return err
}
