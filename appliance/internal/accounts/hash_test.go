package accounts

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Computed with the reference implementation of RFC 9106 (test vector of its authors:
// argon2 -id -v 13 -t 2 -m 16 -p 1, "password", "somesalt").
const vector = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestReferenceHash(t *testing.T) {
	h, err := parsePHC(vector)
	must(t, err)
	if ok, err := newHasher(cheap()).matches(t.Context(), "password", h); !ok || err != nil {
		t.Errorf("the reference's hash does not match: %v", err)
	}
}

func TestDefaultCosts(t *testing.T) {
	h := newHasher(defaultParams()).blank()
	if got, err := parsePHC(h.String()); err != nil || got != h {
		t.Errorf("%v: %v", h, err)
	}
	if h.memory < 19<<10 || h.time < 2 {
		t.Error("below the least that OWASP asks for")
	}
}

func TestMalformedHashes(t *testing.T) {
	for _, text := range []string{
		"", "$", "plain",
		strings.Replace(vector, "argon2id", "argon2i", 1),
		strings.Replace(vector, "v=19", "v=16", 1),
		strings.Replace(vector, "m=65536", "m=065536", 1),
		strings.Replace(vector, "m=65536", "m=4194304", 1), // 4 GiB
		strings.Replace(vector, "m=65536", "m=7", 1),
		strings.Replace(vector, "t=2", "t=0", 1),
		strings.Replace(vector, "t=2", "t=1000", 1),
		strings.Replace(vector, "t=2", "t=-2", 1),
		strings.Replace(vector, "p=1", "p=0", 1),
		strings.Replace(vector, "p=1", "p=257", 1),
		strings.Replace(vector, "p=1", "p=1,x=2", 1),
		strings.Replace(vector, "c29tZXNhbHQ", "", 1),
		strings.Replace(vector, "c29tZXNhbHQ", "c29tZXNhbHR", 1), // bits behind the end
		vector + "=", vector + "$", vector[:len(vector)-40],
	} {
		if _, err := parsePHC(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// TestFlood has many check a password: two work, some wait, the rest is sent away.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(cheap())
		release := make(chan struct{})
		running, most := 0, 0
		lock := make(chan struct{}, 1)
		count := func(by int) {
			lock <- struct{}{}
			running += by
			most = max(most, running)
			<-lock
		}
		h.derive = func(string, phc) string {
			count(1)
			<-release
			count(-1)
			return ""
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		const all = mostHashes + mostWaiting + 10
		outcomes := make(chan error, all)
		for range all {
			go func() {
				_, err := h.hash(ctx, good)
				outcomes <- err
			}()
		}
		synctest.Wait()
		if most != mostHashes {
			t.Errorf("%d hashes at a time, want %d", most, mostHashes)
		}
		later(2 * time.Minute)
		synctest.Wait()
		close(release)
		synctest.Wait()
		var done, busy, late int
		for range all {
			switch err := <-outcomes; {
			case err == nil:
				done++
			case errors.Is(err, ErrBusy):
				busy++
			case errors.Is(err, context.DeadlineExceeded):
				late++
			default:
				t.Error(err)
			}
		}
		if done != mostHashes || busy != 10 || late != mostWaiting {
			t.Errorf("%d done, %d sent away, %d waited too long", done, busy, late)
		}
		if len(h.queue) != 0 || len(h.running) != 0 {
			t.Error("places in the queue are lost")
		}
	})
}

func TestCancelledBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // select chooses at random
		if _, err := newHasher(cheap()).hash(ctx, good); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v", err)
		}
	}
}
