package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ContentProblem is the media type of every error answer.
const ContentProblem = "application/problem+json"

// ProblemError is an answer of the appliance that is not a success (RFC 9457).
type ProblemError struct{ Problem Problem }

// Error returns what was refused and why, every located mistake on its own line.
func (e *ProblemError) Error() string {
	text := e.Problem.Detail
	if text == "" {
		text = fmt.Sprintf("%s (HTTP %d)", e.Problem.Title, e.Problem.Status)
	}
	lines := append([]string{text}, e.Problem.Errors...)
	for _, key := range slices.Sorted(maps.Keys(e.Problem.Fields)) {
		lines = append(lines, strings.TrimPrefix(key+": "+e.Problem.Fields[key], ": "))
	}
	return strings.Join(lines, "\n")
}

// UnreachableError means that no answer came: the daemon does not run, the socket
// is somewhere else, or the caller may not open it.
type UnreachableError struct {
	Where string // socket path or address
	Err   error
}

// Error says which daemon was tried and what happened.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("cannot reach the appliance at %s: %v", e.Where, e.Err)
}

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Err }
