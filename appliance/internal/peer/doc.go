// Package peer speaks to the other appliance of a pair: authenticated heartbeats
// over UDP 6694 and replication of persistence over TCP 7778 (guide 9.5).
//
// Both ends hold the pairing secret; every key is derived from it (HKDF-SHA256,
// one label per use), so a secret is never used for two purposes.
//
// # Heartbeats
//
// A heartbeat is one fixed datagram with an HMAC. It proves three things: that the
// sender holds the secret, that it is alive now, and what it does. "Alive now"
// needs more than a sequence number, because a receiver that has just started
// knows no earlier one: each process draws a random nonce, and a heartbeat counts
// only if it echoes the receiver's own. A heartbeat with a foreign echo is answered
// at once (a greeting), so two nodes know each other one round trip after the
// later one has started. A recorded heartbeat of an earlier life never counts.
//
// # Replication
//
// One TLS 1.3 connection carries both directions; the secondary dials, the primary
// listens. Each role has an Ed25519 key derived from the secret, and each end
// accepts exactly the other role's key: certificates are only the envelope. On
// every connection each end sends all of its entries, an end mark, and from then on
// what changes. A node is in sync when it has applied the peer's end mark on the
// present connection. Ages travel, never clocks, and they are rounded up, so an
// entry never grows younger by travelling. What came from the peer is not sent back.
//
// Whoever can send packets can make entries, so what waits and what is remembered is
// bounded. Changes that find no room are sent by a repair, all tables once more, when
// those that had room have left; until the peer has confirmed it, it counts as behind.
//
// Small things that both nodes hold whole, such as the operator's overrides, travel
// as documents: all of them before the entries, and again when they change. Their
// content must merge; see [Document].
package peer
