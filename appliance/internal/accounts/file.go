package accounts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// fileVersion is the version of the file's layout.
const fileVersion = 1

// largestFile bounds what is read: the most accounts take a quarter of it.
const largestFile = 1 << 20

type file struct {
	Version  int           `json:"version"`
	Accounts []fileAccount `json:"accounts"`
}

type fileAccount struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	Hash    string    `json:"hash"` // argon2id, PHC string format
	Changed time.Time `json:"password_changed"`
}

// readFile reads the accounts; it makes sure that only the owner may read them.
func readFile(path string) (map[string]record, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]record{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err = tighten(f); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err != nil {
		return nil, err
	}
	set, err := decodeFile(data)
	if err != nil {
		return nil, fmt.Errorf("%s (restore the file from a backup, or remove it to make the first account anew): %w", path, err)
	}
	return set, nil
}

// tighten takes a file from everybody but its owner, after a careless copy.
func tighten(f *os.File) error {
	info, err := f.Stat()
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return f.Chmod(0o600)
}

func decodeFile(data []byte) (map[string]record, error) {
	if len(data) > largestFile {
		return nil, fmt.Errorf("the file has more than %d bytes", largestFile)
	}
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, err
	}
	if head.Version != fileVersion {
		return nil, fmt.Errorf("the file has version %d, this program reads %d", head.Version, fileVersion)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var f file
	if err := dec.Decode(&f); err != nil {
		return nil, err
	}
	return decodeAccounts(f.Accounts)
}

func decodeAccounts(list []fileAccount) (map[string]record, error) {
	set := make(map[string]record, len(list))
	for _, a := range list {
		if err := checkName(a.Name); err != nil {
			return nil, err
		}
		if _, twice := set[a.Name]; twice {
			return nil, fmt.Errorf("two accounts have the name %s", a.Name)
		}
		if _, err := ParseRole(a.Role.String()); err != nil { // left out
			return nil, fmt.Errorf("account %s: the role is missing", a.Name)
		}
		h, err := parsePHC(a.Hash)
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", a.Name, err)
		}
		set[a.Name] = record{Account{Name: a.Name, Role: a.Role, Changed: a.Changed.UTC()}, h}
	}
	if len(set) > mostAccounts {
		return nil, fmt.Errorf("the file has more than %d accounts", mostAccounts)
	}
	if len(set) > 0 && !hasAdmin(set) {
		return nil, errors.New("no account is an admin")
	}
	return set, nil
}

func encodeFile(set map[string]record) ([]byte, error) {
	f := file{Version: fileVersion, Accounts: make([]fileAccount, 0, len(set))}
	for _, r := range set {
		f.Accounts = append(f.Accounts, fileAccount{r.Name, r.Role, r.hash.String(), r.Changed})
	}
	slices.SortFunc(f.Accounts, func(a, b fileAccount) int { return strings.Compare(a.Name, b.Name) })
	data, err := json.MarshalIndent(f, "", "  ")
	return append(data, '\n'), err
}

// writeFile replaces the file in one step, mode 0600, and waits until it is on disk.
func writeFile(path string, set map[string]record) error {
	data, err := encodeFile(set)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new or a renamed file survive a loss of power.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
