// Package control is the public face of simvos, the simulated Harmonic VOS
// server: the vocabulary of its faults and of its ledger, a client and a
// server of its control socket, and the two binary formats that travel on the
// data path so that a test can tell which server it met.
//
//   - [Client] talks JSON over HTTP on a unix socket. The socket lies outside
//     the data path: a node whose network is broken on purpose can still be
//     asked what it saw.
//   - [Marker] is the identity of a server at one moment. Every stream and
//     every probe reply of simvos carries one.
//   - [ProbeRequest] and [ProbeReply] are the probe protocol, the same frames
//     over UDP and TCP. [BulkRequest] opens a throughput stream.
//
// The package uses the standard library only, so that the harness can import
// it without meeting the rest of the simulator.
package control
