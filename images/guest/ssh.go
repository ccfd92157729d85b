package guest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/go-crypt/crypt/algorithm/shacrypt"

	"github.com/vosbed/vosbed/images/console"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

// sshDir holds what SSH keeps: its host key, the password's hash, the keys of people, and
// whether it is on.
const sshDir = StateDir + "/ssh"

// Files in it.
const (
	sshHostKey = sshDir + "/host_ed25519"
	sshKeys    = sshDir + "/authorized_keys"
	sshHash    = sshDir + "/password"
	sshOn      = sshDir + "/on"
)

// sshdConfig is OpenSSH's configuration (sshd_config(5)): root only, with a key or with the
// console's password, and nothing but a command line and files.
const sshdConfig = `HostKey ` + sshHostKey + `
AuthorizedKeysFile ` + sshKeys + `
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
MaxAuthTries 3
MaxStartups 5:30:20
LoginGraceTime 30
AllowTcpForwarding no
AllowAgentForwarding no
X11Forwarding no
PrintMotd no
Subsystem sftp /usr/lib/openssh/sftp-server
`

// remote is the log-in over SSH as the console offers it.
func (m *machine) remote() *console.Remote {
	return &console.Remote{
		On:       func() bool { return exists(sshOn) },
		Set:      m.setSSH,
		Password: setSSHPassword,
		Keys: func() string {
			text, _ := os.ReadFile(sshKeys)
			return string(text)
		},
		SetKeys: setSSHKeys,
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// setSSH switches SSH on or off, now and for every start.
func (m *machine) setSSH(on bool) error {
	if on {
		if err := keep(sshOn, nil); err != nil {
			return err
		}
		return m.startSSH()
	}
	m.sshEnd()
	if err := os.Remove(sshOn); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("switch SSH off: %w", err)
	}
	return nil
}

// keep writes a file of SSH's, for root only.
func keep(path string, data []byte) error {
	if err := os.MkdirAll(sshDir, 0o700); err != nil {
		return fmt.Errorf("make SSH's folder: %w", err)
	}
	return atomicfile.Write(path, data, 0o600)
}

// errKey says that a public key is none.
var errKey = errors.New("this is no public key: it begins with ssh-ed25519, ecdsa-sha2- or ssh-rsa, on one line")

func setSSHKeys(text string) error {
	text = strings.TrimSpace(text)
	if err := checkKey(text); err != nil {
		return err
	}
	return keep(sshKeys, []byte(text+"\n"))
}

// checkKey refuses what is no public key; none at all is fine.
func checkKey(text string) error {
	fields := strings.Fields(text)
	isKey := len(fields) >= 2 && (strings.HasPrefix(fields[0], "ssh-") || strings.HasPrefix(fields[0], "ecdsa-sha2-"))
	if text != "" && (!isKey || strings.ContainsAny(text, "\r\n")) {
		return errKey
	}
	return nil
}

// setSSHPassword keeps a password's hash where sshd looks for root's.
func setSSHPassword(password string) error {
	h, err := shacrypt.New(shacrypt.WithVariant(shacrypt.VariantSHA512), shacrypt.WithIterations(200_000))
	if err != nil {
		return fmt.Errorf("hash the password: %w", err)
	}
	digest, err := h.Hash(password)
	if err != nil {
		return fmt.Errorf("hash the password: %w", err)
	}
	if err := keep(sshHash, []byte(digest.Encode())); err != nil {
		return err
	}
	return writeShadow()
}

// writeShadow gives the system root's password, none while there is none.
func writeShadow() error {
	hash, err := os.ReadFile(sshHash)
	if err != nil || strings.ContainsAny(string(hash), ":\n") {
		hash = []byte("*")
	}
	text := fmt.Sprintf("root:%s:20000:0:99999:7:::\n", hash)
	if err := os.WriteFile("/etc/shadow", []byte(text), 0o600); err != nil {
		return fmt.Errorf("write root's password: %w", err)
	}
	return nil
}

// hostKey makes a host key if there is none. It is written by way of another file: a power cut
// would leave an empty one, which sshd does not start with.
func (m *machine) hostKey() error {
	if info, err := os.Stat(sshHostKey); err == nil && info.Size() > 0 {
		return nil
	}
	dir, err := os.MkdirTemp("/run", "ssh-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	at := filepath.Join(dir, "key")
	cmd := exec.Command("/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "vosbed", "-f", at) //nolint:noctx // it takes milliseconds
	if err = m.children.wait(cmd); err != nil {
		return err
	}
	key, err := os.ReadFile(at)
	if err != nil {
		return err
	}
	return keep(sshHostKey, key)
}

// startSSH keeps sshd running until sshEnd is called.
func (m *machine) startSSH() error {
	<-m.whole // sshd is in the later part
	m.sshEnd()
	if err := m.hostKey(); err != nil {
		return fmt.Errorf("make a host key: %w", err)
	}
	for _, dir := range []string{"/run/sshd", "/etc/ssh"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make sshd's folder: %w", err)
		}
	}
	if err := errors.Join(writeShadow(), os.WriteFile("/etc/ssh/sshd_config", []byte(sshdConfig), 0o600)); err != nil {
		return fmt.Errorf("configure sshd: %w", err)
	}
	ctx, end := context.WithCancel(m.life)
	m.sshEnd = end
	go m.children.run(ctx, m.service("sshd", "/usr/sbin/sshd", "-D", "-e"), m.log)
	return nil
}
