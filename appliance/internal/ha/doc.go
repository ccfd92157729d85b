// Package ha is the two-node state machine that decides which appliance of a pair
// owns the virtual addresses. It is pure: no I/O, no clock, no goroutine.
// [Machine.Step] takes one event and the monotonic time and returns what to do,
// in order.
//
// The rules, in the order in which they matter:
//
//   - An owner that hears nothing on any path and cannot use the service network
//     either is isolated: it yields, and an isolated node never takes.
//   - A peer silent on all paths for Dead is dead: a node that can use the service
//     network takes at once. Hold-down and synchronisation never delay this:
//     serving beats syncing.
//   - An owner whose service link lost carrier, or whose ping nodes fell silent
//     while the peer still reaches its own, yields and says so on the remaining
//     paths, so that the peer takes at once instead of after Dead.
//   - Two owners: the higher (term, in sync, seat, name) keeps the addresses and
//     announces them now and again when the other has let go; the other lets go at once.
//   - Everything voluntary waits: failback needs Failback, a table in sync, and
//     HoldDown since the last change; a switchover needs a peer in sync and up to date.
//   - A node whose lease cannot be renewed is like one without carrier: its kernel
//     would drop what it owns.
//
// # Lease and freeze
//
// The kernel keeps serving when the daemon is dead or frozen, so an owner renews a
// deadline at every beat: the beat's own time plus Lease. The heartbeat leaves
// before the renewal. A freeze between the two therefore leaves a lease that is
// older than the last heartbeat, never younger, and Lease < Dead means that the
// kernel has stopped before the peer starts. For the same reason a take-over begins
// with the lease of the last heartbeat, and a node waits for the longer of its own
// dead time and the one that the peer tells: while an operator changes the timers,
// node by node, the two differ, and that costs no take-over.
//
// A machine that was not stepped for Lease has slept: it lets go, announces nothing,
// and judges the peer's silence only from its own awakening, for Dead. An owner whose
// peer was dead has longer (see [Machine.Trust]).
//
// # A planned switchover loses nothing
//
// It is make before break. The owner first has sent, and confirmed, what the peer
// does not know yet (Flush). Then it offers (IntentHandOver) and goes on serving;
// the peer takes, announces, and reports itself active with a higher term; only
// then does the old owner remove the addresses. It does not drop its lease but
// lets it run out, so frames already under way to its MAC are still forwarded by
// direct routing to the same real server (persistence is replicated). Two
// forwarders for some milliseconds are harmless, two answers to ARP are not: the
// addresses go at once, and the peer's announcements repeat. If the peer does not
// take within Dead, the offer is withdrawn and nothing has happened. A daemon that
// starts while such a lease still runs finds no addresses, and is passive.
package ha
