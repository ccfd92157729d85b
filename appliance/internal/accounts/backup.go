package accounts

import (
	"errors"
	"fmt"
	"maps"
)

// Export returns the file of the accounts, with the hashes of their passwords: it must be
// kept as secret as the node keeps its own.
func (s *Store) Export() ([]byte, error) { return encodeFile(s.all()) }

// CheckExport says what keeps an exported file from replacing the accounts: damage,
// another version, or that nobody in it could administer the node.
func CheckExport(data []byte) error {
	_, err := decodeExport(data)
	return err
}

func decodeExport(data []byte) (map[string]record, error) {
	set, err := decodeFile(data)
	if err == nil && len(set) == 0 {
		err = errors.New("it holds no account")
	}
	return set, err
}

// Import replaces all accounts by those of an exported file. Gone are those who are not in
// it or have another password there: end their sessions, and give the others the role
// that they have now. On an error nothing has changed.
func (s *Store) Import(data []byte) (gone []string, err error) {
	next, err := decodeExport(data)
	if err != nil {
		return nil, fmt.Errorf("take over the accounts: %w", err)
	}
	err = s.change(func(set map[string]record) error {
		for name, had := range set {
			if now, stays := next[name]; !stays || now.hash != had.hash {
				gone = append(gone, name)
			}
		}
		clear(set)
		maps.Copy(set, next)
		return nil
	})
	return gone, err
}
