package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

// Exit codes, the same for every command.
const (
	exitOK      = 0
	exitFailed  = 1 // refused or failed
	exitUsage   = 2 // usage, or a mistake in what was given
	exitNoReply = 3 // the daemon cannot be reached
)

// inputError is a mistake in what the operator gave.
type inputError string

func (e inputError) Error() string { return string(e) }

func exitCode(err error, started bool) int {
	var (
		unreachable *api.UnreachableError
		problem     *api.ProblemError
		input       inputError
	)
	switch {
	case errors.As(err, &unreachable):
		return exitNoReply
	case errors.As(err, &problem):
		return problemCode(problem.Problem.Status)
	case errors.As(err, &input), !started:
		return exitUsage
	}
	return exitFailed
}

func problemCode(status int) int {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		return exitUsage
	}
	return exitFailed
}

// complain says what is wrong and what to do.
func (a *app) complain(cmd *cobra.Command, err error) {
	if a.json {
		_ = encode(a.err, a.failure(cmd, err))
		return
	}
	if located, ok := errors.AsType[*mistakes](err); ok {
		fmt.Fprint(a.err, located.errs.Render())
		fmt.Fprintln(a.err, "lbctl:", located.summary())
		return
	}
	fmt.Fprintln(a.err, "lbctl:", err)
	if hint := a.hint(cmd, err); hint != "" {
		fmt.Fprintln(a.err, "lbctl: hint:", hint)
	}
}

// asksJSON reports whether --json is among the arguments. It is for errors that come
// before the flags have been read.
func asksJSON(args []string) bool {
	asked := false
	for _, arg := range args {
		value, is := strings.CutPrefix(arg, "--json=")
		switch {
		case arg == "--":
			return asked
		case arg == "--json":
			asked = true
		case is:
			on, err := strconv.ParseBool(value)
			asked = on || err != nil
		}
	}
	return asked
}

// failure is an error in JSON: a problem of the appliance, or one of that shape whose
// status is 0, as no appliance was asked.
type failure struct {
	api.Problem
	Hint string   `json:"hint,omitempty"`
	Done []string `json:"done,omitempty"` // what was done before it failed
}

func (a *app) failure(cmd *cobra.Command, err error) failure {
	f := failure{Problem: problemOf(err), Hint: a.hint(cmd, err)}
	if f.Title == "" {
		f.Title = "Failed"
		if exitCode(err, a.started) == exitUsage {
			f.Title = "Usage"
		}
	}
	if partly, ok := errors.AsType[*partlyDoneError](err); ok {
		f.Done = partly.done
	}
	return f
}

func problemOf(err error) api.Problem {
	var (
		problem     *api.ProblemError
		unreachable *api.UnreachableError
		located     *mistakes
	)
	switch {
	case errors.As(err, &problem):
		return problem.Problem
	case errors.As(err, &unreachable):
		return api.Problem{Title: "Unreachable", Detail: err.Error()}
	case errors.As(err, &located):
		return api.Problem{Title: "Mistakes", Detail: located.summary(), Errors: located.lines()}
	}
	return api.Problem{Detail: err.Error()}
}

func (a *app) hint(cmd *cobra.Command, err error) string {
	var (
		unreachable *api.UnreachableError
		problem     *api.ProblemError
	)
	switch {
	case !a.started:
		return fmt.Sprintf("see %q", cmd.CommandPath()+" --help")
	case errors.As(err, &problem) && problem.Problem.Status == http.StatusUnauthorized:
		return "the token in --token-file is not the node's present one"
	case !errors.As(err, &unreachable):
		return ""
	case a.address != "":
		return "check the address (port 9443), and that --pin is the one that \"lbctl token\" printed on that node"
	case errors.Is(err, os.ErrPermission):
		return "the socket belongs to root: use sudo"
	case errors.Is(err, os.ErrNotExist):
		return "is lbd running? Start it with \"lbd run --config FILE\", or name its socket with --socket"
	case errors.Is(err, syscall.ECONNREFUSED) && !isSocket(a.socket):
		return "that is not a socket: name the daemon's with --socket"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "lbd has died and left its socket behind: start it again"
	}
	return "lbd is there but does not answer: see its log"
}

func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Type() == os.ModeSocket
}
