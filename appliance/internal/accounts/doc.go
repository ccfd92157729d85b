// Package accounts decides who may do what on a node: named people with a role and a
// password, their sessions, the price of guessing, and a trail of what they did.
//
// The management interface of a load balancer is a prime target, so nothing here
// trusts its caller's input to be short, well formed or honest:
//
//   - [Store] keeps the accounts in one file, with argon2id hashes (RFC 9106). There
//     is no account, and so no password, that a node comes with (ASVS 6.3.2).
//   - [Sessions] keeps logins in memory, by the hash of their token. A restart of the
//     daemon ends them all.
//   - [Gate] makes guessing slow without ever locking a person out (ASVS 6.3.1).
//   - [Trail] keeps what was done in a chained file that shows what was changed.
//
// The four know nothing of each other and nothing of HTTP: the caller asks the gate,
// checks the password, starts the session and writes the entry. All are safe for
// concurrent use. Memory is bounded everywhere: by the most accounts, sessions,
// sources and hashes at a time, and by the longest text.
//
// ASVS is the OWASP Application Security Verification Standard, version 5.0.
package accounts
