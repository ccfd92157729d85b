package accounts

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// longestLine bounds a line, in bytes: with every field at its longest and every
// character escaped, an entry stays below it.
const longestLine = 16 << 10

// chunk is how much of a file's end is read at first, in bytes.
const chunk = 64 << 10

// BrokenError names the first line at which a trail is not what was written.
type BrokenError struct {
	File   string // base name
	Line   int    // from 1
	Reason string
}

// Error says where and why.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("the audit trail is broken at %s line %d: %s", e.File, e.Line, e.Reason)
}

// line is the form of an entry in the file.
type line struct {
	At      time.Time `json:"at"`
	User    string    `json:"user"`
	From    string    `json:"from"`
	Action  string    `json:"action"`
	Target  string    `json:"target,omitempty"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Outcome string    `json:"outcome"`
	Prev    string    `json:"prev"` // SHA-256 of the line before it, hex; "" = none
}

// encodeEntry returns the line, without a line feed.
func encodeEntry(e Entry, prev string) ([]byte, error) {
	return json.Marshal(line{
		At: e.At.UTC(), User: clean(e.User, 64), From: clean(e.From, 64), Action: clean(e.Action, 100), Target: clean(e.Target, 200),
		Before: clean(e.Before, 500), After: clean(e.After, 500), Outcome: clean(e.Outcome, 300), Prev: prev,
	})
}

func decodeLine(data []byte) (line, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var l line
	if err := dec.Decode(&l); err != nil {
		return line{}, err
	}
	if dec.InputOffset() != int64(len(data)) {
		return line{}, errors.New("more than one value")
	}
	return l, nil
}

func (l line) entry() Entry {
	return Entry{l.At, l.User, l.From, l.Action, l.Target, l.Before, l.After, l.Outcome}
}

// decodeOrTell cleans what it reads too: somebody may have edited the file.
func decodeOrTell(data []byte, file string) Entry {
	l, err := decodeLine(data)
	if err != nil {
		return Entry{User: "system", Action: "read the audit trail", Target: file, Outcome: "this line is damaged: " + clean(err.Error(), 200)}
	}
	e := l.entry()
	for _, text := range []*string{&e.User, &e.From, &e.Action, &e.Target, &e.Before, &e.After, &e.Outcome} {
		*text = clean(*text, 500)
	}
	return e
}

func hashLine(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// readTail returns the last n whole lines of a file, the last one first; a missing
// file has none. It reads from the end, twice as much at each attempt, and at most the
// size of a file that a trail writes.
func readTail(path string, n int) ([][]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || n <= 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	for want := int64(chunk); ; want *= 2 {
		want = min(want, size, largestTrail)
		data := make([]byte, want)
		if _, err := f.ReadAt(data, size-want); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		all := want == size
		if lines := wholeLines(data, all); len(lines) >= n || all || want == largestTrail {
			slices.Reverse(lines)
			return lines[:min(n, len(lines))], nil
		}
	}
}

// wholeLines splits the end of a file into its lines. What follows the last line feed
// is none, and what comes before the first is only part of one unless it is all.
func wholeLines(data []byte, all bool) [][]byte {
	parts := bytes.Split(data, []byte{'\n'})
	parts = parts[:len(parts)-1]
	if !all && len(parts) > 0 {
		parts = parts[1:]
	}
	return parts
}

// readTorn returns what follows the last line feed of a file and where it starts. What
// is longer than a line can be was no crash: it is returned up to that bound, and the
// rest is not kept.
func readTorn(f *os.File) (rest []byte, start int64, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, err
	}
	for start = size; start > 0; {
		n := min(start, chunk)
		data := make([]byte, n)
		if _, err := f.ReadAt(data, start-n); err != nil {
			return nil, 0, err
		}
		end := bytes.LastIndexByte(data, '\n')
		start -= n - int64(end+1)
		if end >= 0 {
			break
		}
	}
	rest = make([]byte, min(size-start, largestTrail))
	if _, err := f.ReadAt(rest, start); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	return rest, start, nil
}

// verifier follows the chain.
type verifier struct {
	last   string // hash of the last line
	line   int    // in the file
	strict bool   // the first line must follow last, too
}

func (v *verifier) file(path string) error {
	v.line = 0
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("verify the audit trail: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, longestLine)
	for {
		data, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(data) == 0 {
			return nil
		}
		v.line++
		if reason := v.follow(data, err); reason != "" {
			return &BrokenError{File: filepath.Base(path), Line: v.line, Reason: reason}
		}
	}
}

// follow takes one more line; it returns what is wrong with it.
func (v *verifier) follow(data []byte, readErr error) string {
	switch {
	case errors.Is(readErr, bufio.ErrBufferFull):
		return fmt.Sprintf("it is longer than %d bytes", longestLine)
	case errors.Is(readErr, io.EOF):
		return "it has no end"
	case readErr != nil:
		return readErr.Error()
	}
	data = bytes.TrimSuffix(data, []byte{'\n'})
	l, err := decodeLine(data)
	if err != nil {
		return "it is no entry: " + clean(err.Error(), 200)
	}
	if v.strict && l.Prev != v.last {
		return "it does not follow the line before it: one of the two was changed, or lines between them were removed or inserted"
	}
	v.last, v.strict = hashLine(data), true
	return ""
}
