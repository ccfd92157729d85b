package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

// words describe one of drain, halt and online.
type words struct {
	state, short, long, done string
	deadline                 bool
}

func drainWords() words {
	return words{
		state: "drain", short: "Give real servers no new clients", deadline: true, done: "is draining",
		long: `drain gives a real server no new clients. Existing connections and flows stay.
With --deadline the server is halted after that time, whoever is left.`,
	}
}

func haltWords() words {
	return words{
		state: "halt", short: "Take real servers out of service at once", done: "is halted",
		long: `halt takes a real server out at once: its connections are cut and its persistent
clients move to other servers. To let clients leave first, use drain.`,
	}
}

func onlineWords() words {
	return words{
		state: "online", short: "Bring real servers back into service", done: "is online",
		long: `online ends a drain or halt. The server takes clients as soon as its health
checks pass.`,
	}
}

func (a *app) serverCommand(w words) *cobra.Command {
	var deadline time.Duration
	cmd := &cobra.Command{
		Use:     w.state + " SERVICE/SERVER...",
		Short:   w.short,
		Long:    w.long,
		Example: "  lbctl " + w.state + " Harmonic_Traffic/HT1",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name at least one server as SERVICE/SERVER, for example Harmonic_Traffic/HT1")
			}
			return nil
		},

		ValidArgsFunction: a.complete(serverNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			want := api.ServerState{State: w.state}
			if cmd.Flags().Changed("deadline") {
				want.Deadline = brief(deadline)
			}
			return a.with(func(c *api.Client) error { return a.setServers(cmd, c, args, want, w.done) })
		},
	}
	if w.deadline {
		cmd.Flags().DurationVar(&deadline, "deadline", 0, "halt the server after this `time`, for example 5m")
		cmd.Example += "\n  lbctl " + w.state + " --deadline 5m Harmonic_Management/HM1 Harmonic_Traffic/HT1"
	}
	return cmd
}

// changed is the answer about real servers in JSON.
type changed struct {
	Done     string   `json:"done"`
	State    string   `json:"state"`
	Deadline string   `json:"deadline,omitempty"`
	Servers  []string `json:"servers"`
}

// setServers changes all servers or, if one of the names cannot be right, none.
func (a *app) setServers(cmd *cobra.Command, c *api.Client, names []string, want api.ServerState, done string) error {
	if err := checkServers(cmd, c, names); err != nil {
		return err
	}
	if want.Deadline != "" {
		done += ", halts in " + want.Deadline
	}
	var did []string
	for _, name := range names {
		service, server, _ := strings.Cut(name, "/")
		if err := c.SetServer(cmd.Context(), service, server, want); err != nil {
			return &partlyDoneError{err, did}
		}
		did = append(did, name+" "+done)
		if !a.json {
			fmt.Fprintln(a.out, name, done)
		}
	}
	if !a.json {
		return nil
	}
	return encode(a.out, changed{strings.Join(did, "; "), want.State, want.Deadline, names})
}

// partlyDoneError is an error that came after some of the work had been done.
type partlyDoneError struct {
	error
	done []string
}

// Unwrap returns what went wrong.
func (e *partlyDoneError) Unwrap() error { return e.error }

// checkServers reports every name that is not one of the node's servers.
func checkServers(cmd *cobra.Command, c *api.Client, names []string) error {
	for _, name := range names {
		service, server, ok := strings.Cut(name, "/")
		if !ok || service == "" || server == "" {
			return inputError("\"" + name + "\" is not SERVICE/SERVER: write for example Harmonic_Traffic/HT1")
		}
	}
	s, err := c.Status(cmd.Context())
	if err != nil {
		return err
	}
	var unknown []string
	for _, name := range names {
		if what := unknownServer(s, name); what != "" {
			unknown = append(unknown, what)
		}
	}
	return notFound(unknown, len(names))
}

// unknownServer says what of SERVICE/SERVER is not there, "" if it is.
func unknownServer(s api.Status, name string) string {
	service, server, _ := strings.Cut(name, "/")
	at := slices.IndexFunc(s.Services, func(svc api.Service) bool { return svc.Name == service })
	if at < 0 {
		return fmt.Sprintf("there is no service %q%s", service, suggestion(service, serviceNames(s)))
	}
	servers := plainServerNames(api.Status{Services: s.Services[at : at+1]})
	if slices.Contains(servers, server) {
		return ""
	}
	return fmt.Sprintf("service %q has no server %q%s", service, server, suggestion(server, servers))
}

// notFound is the answer that the appliance itself would give, for all at once.
func notFound(unknown []string, of int) error {
	p := api.Problem{Title: http.StatusText(http.StatusNotFound), Status: http.StatusNotFound}
	switch {
	case len(unknown) == 0:
		return nil
	case of == 1:
		p.Detail = unknown[0]
	default:
		p.Detail = "nothing was changed, because not all of these servers are there"
		p.Errors = unknown
	}
	return &api.ProblemError{Problem: p}
}
