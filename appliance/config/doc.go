// Package config translates between the configuration file and [lb.Config]: strict
// decoding, defaults, validation, encoding, and a [Store] that keeps revisions.
//
// Every mistake in a file is reported at once, each with its place and what to do
// (the error is a [strictyaml.Errors]). A file with a mistake yields nothing: the
// caller keeps what it had.
//
// Every key is either of node scope, which never leaves the node, or of cluster
// scope, which the pair shares (guide 14.1.1); see [ScopeOf].
//
// [Reference] is the commented deployment of the guide and documents every key.
package config

import (
	_ "embed" // the two example files are part of the program
)

// Reference is the guide's deployment (guide sections 5.2, 10 and 14.1) with every
// key explained. Tests compare it with the values it promises.
//
//go:embed reference.yaml
var Reference []byte

// Minimal is the least that works: one service, two real servers, no peer.
//
//go:embed minimal.yaml
var Minimal []byte
