// Package front is the process that people and programs reach over HTTPS (guide 9.5:
// port 9443). It runs as an unprivileged user without capabilities, holds no state and
// decides nothing: pages and API calls go to the main daemon over a unix socket, with
// the caller's own session or token, and the daemon verifies every one. Who breaks into
// this process gains what its present callers may do, and no root.
//
// [Handle] is the main daemon's side: it opens the listeners, starts the process, hands
// over descriptors, certificate and key, and starts it again when it ends. [Main] is the
// process itself.
package front
