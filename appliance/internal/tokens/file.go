package tokens

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

const (
	hashMark    = "sha256:"
	fileVersion = 1
	// largestFile bounds what is read: the most tokens take an eighth of it.
	largestFile = 1 << 17
)

// file is the layout of the file of the named tokens.
type file struct {
	Version   int         `json:"version"`
	FirstUsed time.Time   `json:"first_used"` // of the first token, whose own file has no room for it
	Tokens    []fileToken `json:"tokens"`
}

type fileToken struct {
	Name    string        `json:"name"`
	Role    accounts.Role `json:"role"`
	Created time.Time     `json:"created"`
	Expires time.Time     `json:"expires,omitzero"`
	Used    time.Time     `json:"used,omitzero"`
	Hash    string        `json:"hash"`
}

func (h hash) String() string { return hashMark + hex.EncodeToString(h[:]) }

func parseHash(text string) (hash, error) {
	digits, ok := strings.CutPrefix(strings.TrimSpace(text), hashMark)
	raw, err := hex.DecodeString(digits)
	if !ok || err != nil || len(raw) != len(hash{}) {
		return hash{}, errors.New("not the hash of a token")
	}
	return hash(raw), nil
}

// readFirst reads the hash of the first token, zero if it is revoked, and when it was made.
func readFirst(path string) (hash, time.Time, error) {
	data, err := readAll(path)
	if err != nil {
		return hash{}, time.Time{}, err
	}
	h, err := parseHash(string(data))
	if err != nil {
		return hash{}, time.Time{}, fmt.Errorf("the token file %s is damaged: remove it and restart, then run lbctl token: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return hash{}, time.Time{}, err
	}
	return h, info.ModTime().UTC(), nil
}

// writeFirst keeps that hash. A revoked token leaves zeros, the hash of nothing that is
// known: a file that is missing would be made anew.
func writeFirst(path string, h hash) error {
	return atomicfile.Write(path, []byte(h.String()+"\n"), 0o600)
}

// readAll reads a small file.
func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err == nil && len(data) > largestFile {
		err = fmt.Errorf("%s has more than %d bytes", path, largestFile)
	}
	return data, err
}

// readFile reads the named tokens, and when the first one was used.
func readFile(path string) (map[hash]Token, time.Time, error) {
	data, err := readAll(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[hash]Token{}, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	set, used, err := decode(data)
	if err != nil {
		return nil, used, fmt.Errorf("%s (remove the file: its tokens are worthless then and can be made anew): %w", path, err)
	}
	return set, used, nil
}

func decode(data []byte) (map[hash]Token, time.Time, error) {
	var f file
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return nil, time.Time{}, err
	}
	if f.Version != fileVersion {
		return nil, time.Time{}, fmt.Errorf("the file has version %d, this program reads %d", f.Version, fileVersion)
	}
	if len(f.Tokens) > mostTokens {
		return nil, time.Time{}, fmt.Errorf("%d tokens are more than %d", len(f.Tokens), mostTokens)
	}
	set, names := map[hash]Token{}, map[string]bool{First: true}
	for _, t := range f.Tokens {
		h, err := parseHash(t.Hash)
		switch _, twice := set[h]; {
		case err != nil:
			return nil, time.Time{}, fmt.Errorf("token %q: %w", t.Name, err)
		case !validName(t.Name), names[t.Name], twice, h == hash{}, t.Role < accounts.Auditor:
			return nil, time.Time{}, fmt.Errorf("token %q: its name, role or hash cannot be", t.Name)
		}
		names[t.Name] = true
		set[h] = Token{Name: t.Name, Role: t.Role, Created: t.Created.UTC(), Expires: t.Expires.UTC(), Used: t.Used.UTC()}
	}
	return set, f.FirstUsed.UTC(), nil
}

// save writes the named tokens; the lock is held.
func (s *Store) save() error {
	data, err := encode(s.set)
	if err != nil {
		return err
	}
	return atomicfile.Write(s.opts.File, data, 0o600)
}

func encode(set map[hash]Token) ([]byte, error) {
	f := file{Version: fileVersion, Tokens: []fileToken{}}
	for h, t := range set {
		if t.Name == First {
			f.FirstUsed = t.Used
			continue
		}
		f.Tokens = append(f.Tokens, fileToken{t.Name, t.Role, t.Created, t.Expires, t.Used, h.String()})
	}
	slices.SortFunc(f.Tokens, func(a, b fileToken) int { return strings.Compare(a.Name, b.Name) })
	data, err := json.MarshalIndent(f, "", "  ")
	return append(data, '\n'), err
}
