package accounts

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Files of a trail, in its folder.
const (
	trailFile = "audit.jsonl"
	olderFile = "audit.1.jsonl"
	tornFile  = "audit.torn" // what the last repair took away
)

// largestTrail is the size of a file, in bytes, from which on the next one is begun.
const largestTrail = 4 << 20

// mostLatest bounds what [Trail.Latest] returns.
const mostLatest = 1000

// Entry is one thing that somebody did or tried to do. Texts are cleaned and cut when
// they are written: control characters go (ASVS 16.4.1), and what is too long ends
// in "…". Never put a password or a token in one (ASVS 16.2.5).
type Entry struct {
	At      time.Time // zero = now; kept in UTC
	User    string    // at most 64 characters
	From    string    // address, at most 64
	Action  string    // a verb phrase, "drain", at most 100
	Target  string    // at most 200
	Before  string    // at most 500
	After   string    // at most 500
	Outcome string    // "done", or why not, at most 300
}

// Trail is the audit trail of a node (ASVS 16.3, 16.4.2): a file of JSON lines, of
// which each carries the SHA-256 of the one before it. Whoever changes, removes or
// inserts a line has to write all later ones anew; who can do even that is caught by
// a copy elsewhere (syslog). Two files of at most 4 MiB take turns, and the chain
// goes on from the older one to the other. One process may use it.
type Trail struct {
	dir  string
	now  func() time.Time
	most int64 // bytes per file

	mu    sync.Mutex
	last  string // hash of the last line, "" = none yet
	dirty bool   // a write failed half way
}

// OpenTrail opens the trail in a folder, which it makes if it is missing. A last line
// that a crash tore is moved to audit.torn, with an entry that says so. It fails if the
// files cannot be read or written.
func OpenTrail(dir string) (*Trail, error) { return openTrail(dir, largestTrail) }

func openTrail(dir string, most int64) (*Trail, error) {
	t := &Trail{dir: dir, now: time.Now, most: most}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the audit trail: %w", err)
	}
	if err := t.recover(); err != nil {
		return nil, fmt.Errorf("open the audit trail in %s (move its files elsewhere to begin a new one): %w", dir, err)
	}
	return t, nil
}

func (t *Trail) path(name string) string { return filepath.Join(t.dir, name) }

// recover finds the end of the chain, after it has put a torn end aside.
func (t *Trail) recover() error {
	torn, err := t.repair()
	if err != nil {
		return err
	}
	if t.last, err = t.findLast(); err != nil {
		return err
	}
	t.dirty = false
	if torn == 0 {
		return nil
	}
	return t.write(Entry{
		User: "system", Action: "repair the audit trail", Target: trailFile,
		Outcome: fmt.Sprintf("the last line was torn: its %d bytes were moved to %s", torn, tornFile),
	})
}

// repair cuts off what follows the last line feed and returns how many bytes it was.
func (t *Trail) repair() (int, error) {
	f, err := os.OpenFile(t.path(trailFile), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	rest, start, err := readTorn(f)
	if err != nil || len(rest) == 0 {
		return 0, err
	}
	if err := os.WriteFile(t.path(tornFile), rest, 0o600); err != nil {
		return 0, err
	}
	if err := f.Truncate(start); err != nil {
		return 0, err
	}
	return len(rest), f.Sync()
}

// findLast returns the hash of the last line of the two files.
func (t *Trail) findLast() (string, error) {
	for _, name := range []string{trailFile, olderFile} {
		lines, err := readTail(t.path(name), 1)
		if err != nil {
			return "", err
		}
		if len(lines) > 0 {
			return hashLine(lines[0]), nil
		}
	}
	return "", nil
}

// Append writes an entry and waits until it is on disk. If it fails nothing was
// written: refuse the action then, or tell somebody.
func (t *Trail) Append(e Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.dirty {
		if err := t.recover(); err != nil {
			return fmt.Errorf("repair the audit trail in %s: %w", t.dir, err)
		}
	}
	if err := t.write(e); err != nil {
		return fmt.Errorf("write the audit trail in %s (is the disk full?): %w", t.dir, err)
	}
	return nil
}

func (t *Trail) write(e Entry) error {
	if e.At.IsZero() {
		e.At = t.now()
	}
	data, err := encodeEntry(e, t.last)
	if err != nil {
		return err
	}
	if err := t.rotate(len(data) + 1); err != nil {
		return err
	}
	if err := t.put(append(data, '\n')); err != nil {
		return err
	}
	t.last = hashLine(data)
	return nil
}

// rotate makes the file the older one if it has no room for more bytes.
func (t *Trail) rotate(more int) error {
	info, err := os.Stat(t.path(trailFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.Size() == 0 || info.Size()+int64(more) <= t.most {
		return err
	}
	return os.Rename(t.path(trailFile), t.path(olderFile))
}

// put appends a line, or nothing.
func (t *Trail) put(line []byte) error {
	f, err := os.OpenFile(t.path(trailFile), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size == 0 { // a new file
		if err = syncDir(t.dir); err != nil {
			return err
		}
	}
	_, err = f.Write(line)
	if err = errors.Join(err, f.Sync()); err != nil {
		t.dirty = f.Truncate(size) != nil
	}
	return err
}

// Latest returns at most n entries, the newest first, and never more than 1000. It
// reads no more of the files than it must, and at most 8 MiB. A line that is no entry
// becomes an entry that says so. It fails if a file cannot be read.
func (t *Trail) Latest(n int) ([]Entry, error) {
	n = min(n, mostLatest)
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []Entry
	for _, name := range []string{trailFile, olderFile} {
		if len(list) >= n {
			break
		}
		lines, err := readTail(t.path(name), n-len(list))
		if err != nil {
			return nil, fmt.Errorf("read the audit trail: %w", err)
		}
		for _, line := range lines {
			list = append(list, decodeOrTell(line, name))
		}
	}
	return list, nil
}

// Verify follows the chain through both files to the last entry that was appended. It
// fails with a [*BrokenError] that names the first line that does not follow from the
// one before it, or if a file cannot be read.
//
// What the oldest line follows is not known, since it was removed in its turn.
func (t *Trail) Verify() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := verifier{}
	if err := v.file(t.path(olderFile)); err != nil {
		return err
	}
	v.strict = true // also at the first line: without an older file, there is none before
	if err := v.file(t.path(trailFile)); err != nil {
		return err
	}
	if v.last != t.last {
		return &BrokenError{File: trailFile, Line: v.line + 1, Reason: "the last entries are missing or were changed"}
	}
	return nil
}
