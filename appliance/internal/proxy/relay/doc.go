// Package relay moves bytes between two connected non-blocking sockets, one
// [Flow] per direction. It knows nothing of servers, limits or epoll: the caller
// says what is ready and is told what moved and what it now waits for.
//
// A flow is lazy. It reads into a buffer that all flows of one loop share and
// writes from it at once, so that it owns memory only while its receiver is slow.
// Under sustained load it is promoted to splice(2): a pipe from a bounded pool is
// borrowed for the turn and kept only while it holds bytes. An idle connection
// therefore costs its two descriptors and nothing else.
package relay
