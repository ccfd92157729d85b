// Package reactor is an epoll loop: edge-triggered readiness, coarse timers and
// posted functions, all delivered on the one goroutine that runs the loop.
//
// The proxy uses it instead of a goroutine per direction because a relayed message
// then costs one read and one write: no parking, no second read that only finds
// the socket empty, and an idle connection holds neither stack nor buffer.
package reactor
