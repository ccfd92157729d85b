package appliance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

// formerSecret keeps the pairing secret before the present one, until the peer is heard by
// the new one: a daemon or a sentinel that starts again in between would not hear the peer
// without it, and there were two owners. A new secret that both have removes it, and so
// does time.
type formerSecret struct {
	path string
	log  *slog.Logger
	kept formerFile
}

// formerFile is the file, mode 0600.
type formerFile struct {
	Secret []byte    `json:"secret"`
	Since  time.Time `json:"since"`
}

// formerKept bounds the life of a former secret: whoever has not given the peer the new
// one by then has forgotten it.
const formerKept = 24 * time.Hour

// openFormer reads the file. A damaged one is as good as none: what it was for is over
// after a day.
func openFormer(path string, log *slog.Logger) *formerSecret {
	f := &formerSecret{path: path, log: log}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f
	}
	if err == nil {
		err = json.Unmarshal(data, &f.kept)
	}
	if n := len(f.kept.Secret); err == nil && (n < leastSecret || n > mostSecret) {
		err = fmt.Errorf("it holds a secret of %d bytes", n)
	}
	if err != nil {
		log.Warn("the former pairing secret cannot be read and is dropped", "err", err)
		f.drop()
	}
	f.expire(time.Now())
	return f
}

// secret is nil if there is none.
func (f *formerSecret) secret() []byte { return f.kept.Secret }

// replaced notes that a secret follows another. The one by which the peer could be heard
// last stays.
func (f *formerSecret) replaced(old, next []byte, now time.Time) {
	switch {
	case next == nil || bytes.Equal(f.kept.Secret, next):
		f.drop()
		return
	case old == nil || bytes.Equal(old, next) || f.kept.Secret != nil:
		return
	}
	f.kept = formerFile{old, now.UTC()}
	data, err := json.Marshal(f.kept)
	if err == nil {
		err = atomicfile.Write(f.path, data, 0o600)
	}
	if err != nil {
		f.log.Warn("the former pairing secret cannot be kept: do not restart this node before the peer has the new one", "err", err)
	}
}

func (f *formerSecret) expire(now time.Time) {
	if f.kept.Secret != nil && now.Sub(f.kept.Since).Abs() >= formerKept {
		f.drop()
	}
}

// drop forgets it.
func (f *formerSecret) drop() {
	f.kept = formerFile{}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.log.Warn("the former pairing secret cannot be removed", "err", err)
	}
}
