package matrix_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/images/vm"
)

// TestSSH switches the log-in over SSH on at the console, logs in by key and by password from
// the network, and switches it off again. What was switched on is so after a power cut too,
// with the same host key.
func TestSSH(t *testing.T) {
	s := newSite(t, whole(t), false)
	s.boot(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*vm.Patience)
	defer cancel()
	s.refusesSSH(ctx, t)
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(secret)
	must(t, err)
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " admin@pc"
	talk(ctx, t, s.v,
		dialog{"Press Enter to log in", ""}, dialog{"Password of loadbalancer", password},
		dialog{"Choose", "6"}, dialog{"SSH is off", "yes"}, dialog{"Public key", "no key"},
		dialog{"this is no public key", "6"}, dialog{"SSH is", "yes"}, dialog{"Public key", public},
		dialog{"Choose", ""},
	)
	first := s.logsInBySSH(ctx, t, signer)
	s.cut()
	s.boot(t)
	if again := s.logsInBySSH(ctx, t, signer); again != first {
		t.Errorf("the host key is %s, it was %s", again, first)
	}
	talk(ctx, t, s.v,
		dialog{"Press Enter to log in", ""}, dialog{"Password of loadbalancer", password},
		dialog{"Choose", "6"}, dialog{"SSH is on", "yes"}, dialog{"Choose", ""},
	)
	s.refusesSSH(ctx, t)
}

// refusesSSH waits until nobody listens on port 22.
func (s *site) refusesSSH(ctx context.Context, t *testing.T) {
	t.Helper()
	for {
		conn, err := s.dialer(clientIPs()[0])(ctx, "tcp", machineIP+":22")
		if errors.Is(err, unix.ECONNREFUSED) {
			return
		}
		if err == nil {
			_ = conn.Close()
		}
		if ctx.Err() != nil {
			t.Fatalf("port 22 is open: %v", err)
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// logsInBySSH logs in by both ways, is refused where it must be, and returns the fingerprint
// of the host key.
func (s *site) logsInBySSH(ctx context.Context, t *testing.T, key ssh.Signer) (host string) {
	t.Helper()
	began := time.Now()
	c, host, err := s.ssh(ctx, "root", ssh.PublicKeys(key))
	for err != nil && ctx.Err() == nil {
		pause(ctx, 200*time.Millisecond)
		c, host, err = s.ssh(ctx, "root", ssh.PublicKeys(key))
	}
	must(t, err)
	defer c.Close()
	t.Logf("SSH takes the key after %.1f s", time.Since(began).Seconds())
	if says, problem := said(c, "hostname; id -u"); problem != nil || says != "lb1\n0\n" {
		t.Errorf("the command line says %q, %v", says, problem)
	}
	if _, on := c.Dial("tcp", "127.0.0.1:9443"); on == nil {
		t.Error("SSH leads on into the machine")
	}
	by, other, err := s.ssh(ctx, "root", ssh.Password(password))
	if err != nil || other != host {
		t.Fatalf("by password: %v, host key %s", err, other)
	}
	defer by.Close()
	session, err := by.NewSession()
	must(t, err)
	if err := session.RequestSubsystem("sftp"); err != nil {
		t.Errorf("sftp: %v", err)
	}
	for name, try := range map[string]struct {
		user string
		how  ssh.AuthMethod
	}{"a wrong password": {"root", ssh.Password("wrong")}, "nobody": {"loadbalancer", ssh.Password(password)}} {
		if c, _, err := s.ssh(ctx, try.user, try.how); err == nil {
			_ = c.Close()
			t.Errorf("%s is let in", name)
		}
	}
	return host
}

// ssh logs in from a client.
func (s *site) ssh(ctx context.Context, user string, how ssh.AuthMethod) (c *ssh.Client, host string, err error) {
	const at = machineIP + ":22"
	conn, err := s.dialer(clientIPs()[0])(ctx, "tcp", at)
	if err != nil {
		return nil, "", err
	}
	if err = conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, "", err
	}
	in, news, requests, err := ssh.NewClientConn(conn, at, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{how},
		HostKeyCallback: ssh.HostKeyCallback(func(_ string, _ net.Addr, key ssh.PublicKey) error {
			host = ssh.FingerprintSHA256(key)
			return nil
		}),
	})
	if err != nil {
		_ = conn.Close()
		return nil, "", fmt.Errorf("log in as %s: %w", user, err)
	}
	return ssh.NewClient(in, news, requests), host, nil
}

// said is what a command says.
func said(c *ssh.Client, line string) (string, error) {
	session, err := c.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	out, err := session.Output(line)
	return string(out), err
}
