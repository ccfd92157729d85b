package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"filippo.io/age"
)

// Costs of a passphrase: 2^16 blocks of scrypt take 64 MiB and a quarter of a second. A
// file may not ask for more, and one that asks for less is none of ours.
const workFactor = 16

// Bounds of a passphrase in characters. Whoever has the file can guess as fast as
// machines allow, so it has to be longer than a password.
const (
	ShortestPassphrase = 12
	longestPassphrase  = 256
)

// ErrPassphrase means that the passphrase does not open what is sealed.
var ErrPassphrase = errors.New("the passphrase is wrong")

// CheckPassphrase says why a passphrase is not accepted for a new backup.
func CheckPassphrase(text string) error {
	switch n := utf8.RuneCountInString(text); {
	case n < ShortestPassphrase:
		return fmt.Errorf("the passphrase has %d characters: use at least %d, for example four unrelated words", n, ShortestPassphrase)
	case n > longestPassphrase:
		return fmt.Errorf("the passphrase has %d characters: use at most %d", n, longestPassphrase)
	}
	return nil
}

// Seal encrypts files with a passphrase. It takes 64 MiB for a moment.
func Seal(files []File, passphrase string) ([]byte, error) {
	if err := CheckPassphrase(passphrase); err != nil {
		return nil, err
	}
	to, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("seal the backup: %w", err)
	}
	to.SetWorkFactor(workFactor)
	text, err := pack(sorted(files))
	if err != nil {
		return nil, fmt.Errorf("seal the backup: %w", err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err != nil {
		return nil, fmt.Errorf("seal the backup: %w", err)
	}
	_, err = w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("seal the backup: %w", err)
	}
	return b.Bytes(), nil
}

// Open returns what was sealed. It fails with [ErrPassphrase], or says what is wrong with
// the file. It takes 64 MiB for a moment.
func Open(sealed []byte, passphrase string) ([]File, error) {
	if passphrase == "" || len(passphrase) > 4*longestPassphrase {
		return nil, ErrPassphrase
	}
	by, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, ErrPassphrase
	}
	by.SetMaxWorkFactor(workFactor)
	r, err := age.Decrypt(bytes.NewReader(sealed), by)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("what is sealed is damaged: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, Largest+1))
	if err == nil && len(text) > Largest {
		err = fmt.Errorf("it has more than %d bytes", Largest)
	}
	if err != nil {
		return nil, fmt.Errorf("what is sealed is damaged: %w", err)
	}
	files, err := unpack(text)
	if err != nil {
		return nil, fmt.Errorf("what is sealed is damaged: %w", err)
	}
	return files, nil
}
