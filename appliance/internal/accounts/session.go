package accounts

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// ErrNoSession means that a token or an ID belongs to no session, or to one that is
// over: the person has to log in.
var ErrNoSession = errors.New("no such session: log in")

const (
	tokenBytes   = 32 // ASVS 7.2.3 asks for 16
	idBytes      = 12
	mostPerUser  = 16
	longestAgent = 200 // characters
)

// Session is one login of a person.
type Session struct {
	ID      string // names it in lists; of no use as a token
	User    string
	Role    Role
	Source  string // who knows the person instead of this node, "" = nobody
	Mark    string // of the settings by which Source was asked
	From    netip.Addr
	Agent   string // the name of the person's program, cleaned
	Started time.Time
	Used    time.Time // the last call that a person made
	Expires time.Time // when it ends if nothing is done any more
	// Confirmed is until when sensitive actions are open; zero = they are not.
	Confirmed time.Time
}

// SessionOptions are the limits of sessions; a zero field has the default.
type SessionOptions struct {
	Idle     time.Duration    // the longest pause, 15 minutes (ASVS 7.3.1)
	Absolute time.Duration    // the longest session, 8 hours (ASVS 7.3.2)
	Confirm  time.Duration    // how long sensitive actions stay open, 5 minutes (ASVS 7.5.3)
	Now      func() time.Time // time.Now
	Max      int              // sessions in all, 256; a person has at most 16 (ASVS 7.1.2)
}

// Sessions keeps the logins, in memory only and by the SHA-256 of their tokens: who
// reads the memory cannot take one over. A plain hash is enough for 256 random bits.
type Sessions struct {
	opt SessionOptions

	mu  sync.Mutex
	set map[[sha256.Size]byte]*Session
}

// NewSessions returns no sessions yet.
func NewSessions(opt SessionOptions) *Sessions {
	opt.Idle = cmp.Or(opt.Idle, 15*time.Minute)
	opt.Absolute = cmp.Or(opt.Absolute, 8*time.Hour)
	opt.Confirm = cmp.Or(opt.Confirm, 5*time.Minute)
	opt.Max = cmp.Or(opt.Max, 256)
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Sessions{opt: opt, set: map[[sha256.Size]byte]*Session{}}
}

// Start begins a session with a new token of 256 random bits, 43 characters of
// base64url (ASVS 7.2.3, 7.2.4). The token is told this once. If the person, or all
// together, have the most sessions, the one that was used longest ago ends.
func (s *Sessions) Start(a Account, from netip.Addr, agent string) (token string, _ Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	s.expire(now)
	s.makeRoom(mostPerUser, func(other *Session) bool { return other.User == a.Name })
	s.makeRoom(s.opt.Max, func(*Session) bool { return true })
	made := &Session{
		ID: base64.RawURLEncoding.EncodeToString([]byte(randomBytes(idBytes))), User: a.Name, Role: a.Role, Source: a.Source, Mark: a.Mark,
		From: from.Unmap(), Agent: clean(agent, longestAgent), Started: now,
	}
	s.touch(made, now)
	token = base64.RawURLEncoding.EncodeToString([]byte(randomBytes(tokenBytes)))
	s.set[sha256.Sum256([]byte(token))] = made
	return token, *made
}

// makeRoom ends sessions of a kind until there are fewer than most.
func (s *Sessions) makeRoom(most int, kind func(*Session) bool) {
	for {
		var (
			n      int
			oldest *Session
			key    [sha256.Size]byte
		)
		for k, other := range s.set {
			if !kind(other) {
				continue
			}
			n++
			if oldest == nil || other.Used.Before(oldest.Used) {
				oldest, key = other, k
			}
		}
		if n == 0 || n < most {
			return
		}
		delete(s.set, key)
	}
}

// touch notes that the person did something.
func (s *Sessions) touch(session *Session, now time.Time) {
	session.Used = now
	session.Expires = now.Add(s.opt.Idle)
	if end := session.Started.Add(s.opt.Absolute); end.Before(session.Expires) {
		session.Expires = end
	}
}

// Use returns the session of a token, or [ErrNoSession]. A call that a page makes in
// the background does not keep an idle session alive.
func (s *Sessions) Use(token string, background bool) (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, now, err := s.find(token)
	if err != nil {
		return Session{}, err
	}
	if !background {
		s.touch(session, now)
	}
	return session.at(now), nil
}

// Confirm opens sensitive actions for a while; the caller has just checked the
// person's password once more (ASVS 7.5.1, 7.5.3). It fails with [ErrNoSession].
func (s *Sessions) Confirm(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	session, now, err := s.find(token)
	if err != nil {
		return err
	}
	s.touch(session, now)
	session.Confirmed = now.Add(s.opt.Confirm)
	return nil
}

// find returns the live session of a token. The map is searched by the token's hash,
// so the time it takes tells nothing about other tokens.
func (s *Sessions) find(token string) (*Session, time.Time, error) {
	now := s.opt.Now()
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return nil, now, ErrNoSession
	}
	key := sha256.Sum256([]byte(token))
	session, ok := s.set[key]
	if !ok {
		return nil, now, ErrNoSession
	}
	if !now.Before(session.Expires) {
		delete(s.set, key)
		return nil, now, ErrNoSession
	}
	return session, now, nil
}

// at is a copy that tells no confirmation that is over.
func (session *Session) at(now time.Time) Session {
	out := *session
	if !now.Before(out.Confirmed) {
		out.Confirmed = time.Time{}
	}
	return out
}

// End ends the session of a token, if there is one (ASVS 7.4.1).
func (s *Sessions) End(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.set, sha256.Sum256([]byte(token)))
}

// Revoke ends a session by its ID (ASVS 7.5.2), or fails with [ErrNoSession].
func (s *Sessions) Revoke(id string) error {
	if s.endIf(func(_ [sha256.Size]byte, other *Session) bool { return other.ID == id }) == 0 {
		return ErrNoSession
	}
	return nil
}

// EndUser ends the sessions of a person but the one with the token except, if that is
// not empty, and returns how many: after a removal (ASVS 7.4.2), a new password
// (7.4.3), or by an admin (7.4.5).
func (s *Sessions) EndUser(name, except string) int {
	keep := sha256.Sum256([]byte(except)) // of "": no token has that hash
	return s.endIf(func(key [sha256.Size]byte, other *Session) bool { return other.User == name && key != keep })
}

// endIf returns how many live sessions it ended.
func (s *Sessions) endIf(which func([sha256.Size]byte, *Session) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(s.opt.Now())
	n := 0
	for key, session := range s.set {
		if which(key, session) {
			delete(s.set, key)
			n++
		}
	}
	return n
}

// SetRole gives the live sessions of a person another role, at once. Sensitive
// actions have to be confirmed anew.
func (s *Sessions) SetRole(name string, r Role) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, session := range s.set {
		if session.User == name && session.Role != r {
			session.Role, session.Confirmed = r, time.Time{}
		}
	}
}

// List returns the live sessions, the earliest started first.
func (s *Sessions) List() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opt.Now()
	s.expire(now)
	list := make([]Session, 0, len(s.set))
	for _, session := range s.set {
		list = append(list, session.at(now))
	}
	slices.SortFunc(list, func(a, b Session) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID)) })
	return list
}

// expire forgets the sessions that are over.
func (s *Sessions) expire(now time.Time) {
	for key, session := range s.set {
		if !now.Before(session.Expires) {
			delete(s.set, key)
		}
	}
}
