// Package sentinel runs the pair's heartbeat, lease, election and virtual addresses
// in a small real-time process of its own (design decision 6): inside a busy Go
// process even a SCHED_FIFO thread is delayed by 50-100 ms, in this one it is not.
//
// The main daemon re-executes itself as "lbd sentinel" ([Handle], [Main]) and
// speaks JSON over an inherited SOCK_SEQPACKET pair on descriptor 3. The data plane
// and the layer-7 listeners are programmed on both nodes all the time, so taking
// over is: renew the lease, add the addresses, announce them. Losing is: drop the
// lease, tell the peer, remove the addresses. All of it happens in one poll loop on
// one locked thread; nothing in that loop waits for anything but the kernel.
//
// # Who dies how
//
//   - The main daemon dies: the socket ends and the sentinel exits at once, leaving
//     lease and addresses in place. The lease runs out by itself, so a daemon
//     restarted within it resumes and one that comes later is passive.
//   - The main daemon stalls: its progress stops for StallTimeout and the sentinel
//     falls silent. The default, max(2 s, 5 Dead), is generous on purpose: layer-4
//     traffic is forwarded by the kernel meanwhile, a busy daemon may well be late by
//     100 ms, and a false failover costs every proxied session.
//   - The sentinel dies: the main daemon starts another, which resumes within the lease.
//
// # What it refuses to do
//
//   - Own addresses without being heard: a configuration without a heartbeat codec ends
//     the process.
//   - Own addresses that the kernel would not serve: in a pair whose lease cannot be
//     opened it yields, and goes on trying.
//   - Obey what was said before a freeze: it looks at the clock before each order.
//   - Lose the peer over a new pairing secret: the former one is used too until the peer
//     is heard by the new one.
package sentinel
