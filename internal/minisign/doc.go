// Package minisign signs and verifies files as minisign does (jedisct1.github.io/minisign,
// Ed25519 over a BLAKE2b-512 of the file), so that anybody can verify a release with a
// program that is not ours. Equal files signed with equal keys and comments have equal
// signatures: no time is in them. The legacy form, over the file itself, is refused.
package minisign
