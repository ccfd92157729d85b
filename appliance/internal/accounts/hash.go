package accounts

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// ErrBusy means that so many passwords wait to be checked that one more would only
// wait for nothing: try again in a moment.
var ErrBusy = errors.New("too many logins at once: try again in a moment")

// What one process does at a time. A hash takes 32 MiB, so two take 64 MiB; the rest
// of a flood waits in a short queue, which costs little, or is sent away.
const (
	mostHashes  = 2
	mostWaiting = 64
)

// Sizes in bytes; RFC 9106 section 4 asks for these.
const (
	saltBytes = 16
	keyBytes  = 32
)

// Bounds of what a hash in the file may ask for: a file must not be able to eat the
// memory of the node.
const (
	mostMemory  = 256 << 10 // KiB
	mostTime    = 16
	mostThreads = 8
	mostKey     = 64 // bytes
)

// params are the costs of argon2id.
type params struct {
	memory  uint32 // KiB
	time    uint32 // passes
	threads uint8
}

// defaultParams takes half the memory of the second recommendation of RFC 9106
// section 4, since a node has to forward traffic at the same time. It is well above
// the least that the OWASP Password Storage Cheat Sheet asks for (19 MiB, 2 passes).
func defaultParams() params { return params{memory: 32 << 10, time: 3, threads: 1} }

// phc is one hash in the PHC string format:
// $argon2id$v=19$m=32768,t=3,p=1$<salt>$<key>, base64 without padding.
type phc struct {
	params

	salt string // raw bytes, as a string so that hashes compare with ==
	key  string
}

// String returns the PHC string.
func (h phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		b64.EncodeToString([]byte(h.salt)), b64.EncodeToString([]byte(h.key)))
}

// parsePHC reads only what String writes, within the bounds.
func parsePHC(text string) (phc, error) {
	bad := errors.New("malformed argon2id hash")
	parts := strings.Split(text, "$")
	if len(parts) != 6 {
		return phc{}, bad
	}
	var h phc
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return phc{}, bad
	}
	salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
	key, errKey := base64.RawStdEncoding.DecodeString(parts[5])
	h.salt, h.key = string(salt), string(key)
	if errSalt != nil || errKey != nil || h.String() != text {
		return phc{}, bad
	}
	return h, h.check()
}

func (h phc) check() error {
	switch {
	case h.threads < 1 || h.threads > mostThreads, h.time < 1 || h.time > mostTime,
		h.memory < 8*uint32(h.threads) || h.memory > mostMemory:
		return errors.New("argon2id hash with costs out of bounds")
	case len(h.salt) < 8 || len(h.salt) > mostKey, len(h.key) < 16 || len(h.key) > mostKey:
		return errors.New("argon2id hash with a salt or a key of the wrong length")
	}
	return nil
}

// hasher computes hashes, a bounded number at a time.
type hasher struct {
	params params
	derive func(password string, h phc) string // the key; tests replace it

	running chan struct{}
	queue   chan struct{} // running and waiting
}

func newHasher(p params) *hasher {
	return &hasher{
		params: p, derive: deriveKey,
		running: make(chan struct{}, mostHashes), queue: make(chan struct{}, mostHashes+mostWaiting),
	}
}

func deriveKey(password string, h phc) string {
	return string(argon2.IDKey([]byte(password), []byte(h.salt), h.time, h.memory, h.threads, uint32(len(h.key))))
}

// blank is a hash that no password has: to check against it costs the same.
func (h *hasher) blank() phc {
	return phc{params: h.params, salt: randomBytes(saltBytes), key: randomBytes(keyBytes)}
}

// hash makes the hash of a password. It fails with ErrBusy, or as ctx does.
func (h *hasher) hash(ctx context.Context, password string) (phc, error) {
	made := h.blank()
	key, err := h.run(ctx, password, made)
	made.key = key
	return made, err
}

// matches compares in constant time (ASVS 11.2.4).
func (h *hasher) matches(ctx context.Context, password string, want phc) (bool, error) {
	key, err := h.run(ctx, password, want)
	return err == nil && subtle.ConstantTimeCompare([]byte(key), []byte(want.key)) == 1, err
}

// run computes a key when it is its turn; ctx is heeded while it waits.
func (h *hasher) run(ctx context.Context, password string, like phc) (string, error) {
	select {
	case h.queue <- struct{}{}:
		defer func() { <-h.queue }()
	default:
		return "", ErrBusy
	}
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
	case <-ctx.Done():
		return "", fmt.Errorf("wait to check a password: %w", ctx.Err())
	}
	if err := ctx.Err(); err != nil { // both were ready
		return "", fmt.Errorf("wait to check a password: %w", err)
	}
	return h.derive(password, like), nil
}

func randomBytes(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return string(b)
}
