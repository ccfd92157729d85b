package peer

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"slices"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/ha"
	"github.com/vosbed/vosbed/appliance/lb"
)

// HeartbeatLen is the length of every heartbeat in bytes.
const HeartbeatLen = signedLen + sha256.Size

// MinSecret is the least length of a pairing secret in bytes.
const MinSecret = 32

// Why a heartbeat was not accepted. ErrStale is an authentic heartbeat that does
// not prove to be fresh: greet its sender.
var (
	ErrMalformed = errors.New("malformed heartbeat")
	ErrKey       = errors.New("heartbeat with a wrong key: the pairing secrets differ")
	ErrReflected = errors.New("this node's own heartbeat: the peer's node name must differ")
	ErrReplayed  = errors.New("replayed heartbeat")
	ErrStale     = errors.New("heartbeat from a peer that does not know this process yet")
)

// Offsets of the fixed layout, all integers big endian. Version 1.
const (
	atMagic   = 0
	atVersion = 4
	atRole    = 5
	atSeat    = 6
	atIntent  = 7
	atFlags   = 8
	atDead    = 9 // 3 bytes: the dead time in milliseconds, rounded up
	atPing    = 12
	atTerm    = 16
	atNonce   = 24
	atEcho    = 32
	atSeq     = 40
	atNode    = 48
	nodeLen   = 32
	signedLen = atNode + nodeLen

	magic   = "VSHB"
	version = 1

	flagInSync      = 1
	flagServiceable = 2
	noPing          = math.MaxUint32
	mostDead        = 1<<24 - 1
)

// Codec seals and opens the heartbeats of one process. It is not safe for
// concurrent use.
type Codec struct {
	mac   hash.Hash
	sum   [sha256.Size]byte
	node  string
	nonce uint64
	seq   uint64

	peer  uint64 // the nonce of the peer's present life, 0 = unknown
	last  uint64 // its highest sequence number
	paths []uint64
	// retired are the nonces of its earlier lives, bounded.
	retired []uint64
}

// maxRetired bounds the memory of earlier lives of the peer.
const maxRetired = 1024

// NewCodec derives the key from the secret and draws this process's nonce.
func NewCodec(secret []byte, node string, paths int) (*Codec, error) {
	if len(node) == 0 || len(node) > nodeLen {
		return nil, fmt.Errorf("node name %q must have 1 to %d bytes", node, nodeLen)
	}
	key, err := derive(secret, "heartbeat")
	if err != nil {
		return nil, err
	}
	return &Codec{mac: hmac.New(sha256.New, key), node: node, nonce: draw(), paths: make([]uint64, paths)}, nil
}

// draw makes a nonce; 0 stands for none.
func draw() uint64 {
	var n [8]byte
	rand.Read(n[:])
	return binary.BigEndian.Uint64(n[:]) | 1
}

// derive makes the 32-byte key for one use of the pairing secret.
func derive(secret []byte, use string) ([]byte, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("the pairing secret has %d bytes: use at least %d", len(secret), MinSecret)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "vosbed pair v1 "+use, 32)
	if err != nil {
		return nil, fmt.Errorf("derive the %s key: %w", use, err)
	}
	return key, nil
}

// Seal builds the heartbeat to send on every path and counts it. buf must have
// HeartbeatLen bytes; it is returned.
func (c *Codec) Seal(buf []byte, s ha.State) []byte { return c.seal(buf, s, c.peer) }

// Greet builds an answer to a packet that Open called stale or that opened a new
// session: it echoes that packet's nonce.
func (c *Codec) Greet(buf []byte, s ha.State, packet []byte) []byte {
	return c.seal(buf, s, binary.BigEndian.Uint64(packet[atNonce:]))
}

func (c *Codec) seal(buf []byte, s ha.State, echo uint64) []byte {
	c.seq++
	b := buf[:HeartbeatLen]
	clear(b)
	copy(b, magic)
	b[atVersion], b[atRole], b[atSeat], b[atIntent] = version, byte(s.Role), byte(s.Seat), byte(s.Intent)
	b[atFlags] = flags(s)
	dead := min(uint64(max(0, s.Dead)+time.Millisecond-1)/uint64(time.Millisecond), mostDead)
	b[atDead], b[atDead+1], b[atDead+2] = byte(dead>>16), byte(dead>>8), byte(dead)
	binary.BigEndian.PutUint32(b[atPing:], pingMicros(s.PingAge))
	binary.BigEndian.PutUint64(b[atTerm:], s.Term)
	binary.BigEndian.PutUint64(b[atNonce:], c.nonce)
	binary.BigEndian.PutUint64(b[atEcho:], echo)
	binary.BigEndian.PutUint64(b[atSeq:], c.seq)
	copy(b[atNode:signedLen], c.node)
	copy(b[signedLen:], c.sign(b[:signedLen]))
	return b
}

func (c *Codec) sign(b []byte) []byte {
	c.mac.Reset()
	c.mac.Write(b)
	return c.mac.Sum(c.sum[:0])
}

func flags(s ha.State) byte {
	var f byte
	if s.InSync {
		f |= flagInSync
	}
	if s.Serviceable {
		f |= flagServiceable
	}
	return f
}

func pingMicros(age time.Duration) uint32 {
	if age < 0 {
		return noPing
	}
	return uint32(min(age.Microseconds(), noPing-1))
}

// Opened is an accepted heartbeat. First says that it opened a new session, so the
// sender should be greeted; Old that a later one came by another path.
type Opened struct {
	State ha.State
	First bool
	Old   bool
}

// Open checks a packet that arrived on a path and decodes it. With ErrStale the
// packet is authentic and its sender should be greeted; all other errors mean
// that it should be counted and forgotten.
func (c *Codec) Open(b []byte, path int) (Opened, error) {
	if len(b) != HeartbeatLen || path < 0 || path >= len(c.paths) || string(b[:4]) != magic || b[atVersion] != version {
		return Opened{}, ErrMalformed
	}
	if !hmac.Equal(c.sign(b[:signedLen]), b[signedLen:]) {
		return Opened{}, ErrKey
	}
	s, err := decode(b)
	if err != nil {
		return Opened{}, err
	}
	nonce, seq := binary.BigEndian.Uint64(b[atNonce:]), binary.BigEndian.Uint64(b[atSeq:])
	switch {
	case nonce == c.nonce || s.Node == c.node:
		return Opened{}, ErrReflected
	case binary.BigEndian.Uint64(b[atEcho:]) != c.nonce:
		return Opened{}, ErrStale
	}
	if slices.Contains(c.retired, nonce) {
		return Opened{}, ErrReplayed
	}
	o := Opened{State: s, First: nonce != c.peer}
	if o.First {
		c.meet(nonce)
	}
	if seq <= c.paths[path] {
		return Opened{}, ErrReplayed
	}
	o.Old = seq <= c.last
	c.paths[path], c.last = seq, max(c.last, seq)
	return o, nil
}

// meet begins a session with a new life of the peer and ends the earlier one. When
// there have been too many to remember, a new nonce makes all of them stale at once;
// the peer is greeted again.
func (c *Codec) meet(nonce uint64) {
	if c.peer != 0 {
		c.retired = append(c.retired, c.peer)
	}
	if len(c.retired) > maxRetired {
		c.nonce, c.retired = draw(), nil
	}
	c.peer, c.last = nonce, 0
	clear(c.paths)
}

// decode reads the fields of an authentic heartbeat; a peer of another make could
// still send values that this one does not know.
func decode(b []byte) (ha.State, error) {
	name, pad, _ := bytes.Cut(b[atNode:signedLen], []byte{0})
	s := ha.State{
		Node: string(name), Seat: lb.Seat(b[atSeat]), Role: lb.Role(b[atRole]), Intent: ha.Intent(b[atIntent]),
		Term:   binary.BigEndian.Uint64(b[atTerm:]),
		InSync: b[atFlags]&flagInSync != 0, Serviceable: b[atFlags]&flagServiceable != 0,
		PingAge: ha.NoPing,
		Dead:    time.Duration(int(b[atDead])<<16|int(b[atDead+1])<<8|int(b[atDead+2])) * time.Millisecond,
	}
	if p := binary.BigEndian.Uint32(b[atPing:]); p != noPing {
		s.PingAge = time.Duration(p) * time.Microsecond
	}
	if len(name) == 0 || len(bytes.Trim(pad, "\x00")) > 0 || s.Seat > lb.Secondary || s.Role > lb.Standalone || s.Intent > ha.IntentRequest {
		return ha.State{}, ErrMalformed
	}
	return s, nil
}
