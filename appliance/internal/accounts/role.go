package accounts

import "fmt"

// Role is what an account may do; each may do what those before it may. The zero
// Role may do nothing.
type Role int

// The roles, in the order of what they may do.
const (
	Auditor  Role = iota + 1 // read
	Operator                 // drain, halt, online
	Admin                    // everything
)

// String returns the word for the role that [ParseRole] reads.
func (r Role) String() string {
	switch r {
	case Auditor:
		return "auditor"
	case Operator:
		return "operator"
	case Admin:
		return "admin"
	}
	return fmt.Sprintf("role(%d)", int(r))
}

// ParseRole reads the word for a role. Any other word is a [*PolicyError].
func ParseRole(word string) (Role, error) {
	for r := Auditor; r <= Admin; r++ {
		if r.String() == word {
			return r, nil
		}
	}
	return 0, &PolicyError{Field: "role", Reason: fmt.Sprintf("%s is no role: choose auditor, operator or admin", quote(word))}
}

// MarshalText writes the word for the role; it fails for what is no role.
func (r Role) MarshalText() ([]byte, error) {
	if _, err := ParseRole(r.String()); err != nil {
		return nil, err
	}
	return []byte(r.String()), nil
}

// UnmarshalText is [ParseRole].
func (r *Role) UnmarshalText(word []byte) error {
	got, err := ParseRole(string(word))
	*r = got
	return err
}
