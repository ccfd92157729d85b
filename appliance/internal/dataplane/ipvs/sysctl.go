package ipvs

import (
	"errors"
	"fmt"
	"os"
)

// sysctls are knobs of one namespace. Their files stay open: which namespace a path means
// depends on the thread that opens it.
type sysctls struct{ quiescent *os.File }

// openSysctls sets those that never change: connections of which the beginning was not
// seen are taken (a takeover is one), a server's end ends its connections at once, and a
// port that is used again is a new connection.
func openSysctls() (s sysctls, err error) {
	for name, value := range map[string]string{
		"net/ipv4/vs/sloppy_tcp":         "1",
		"net/ipv4/vs/expire_nodest_conn": "1",
		"net/ipv4/vs/conn_reuse_mode":    "1",
	} {
		if err = writeSysctl(name, value); err != nil {
			return s, err
		}
	}
	s.quiescent, err = os.OpenFile("/proc/sys/net/ipv4/vs/expire_quiescent_template", os.O_WRONLY, 0)
	if err != nil {
		return s, fmt.Errorf("open a setting of IPVS: %w", err)
	}
	return s, nil
}

func writeSysctl(name, value string) error {
	if err := os.WriteFile("/proc/sys/"+name, []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s to %s: %w", name, value, err)
	}
	return nil
}

// quiesce says whether the clients of a draining server move with their next connection.
func (s sysctls) quiesce(on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	if _, err := s.quiescent.WriteAt([]byte(value), 0); err != nil {
		return fmt.Errorf("set expire_quiescent_template to %s: %w", value, err)
	}
	return nil
}

// forward lets the node forward IP, which the replies of NAT need.
func (sysctls) forward() error {
	return errors.Join(writeSysctl("net/ipv4/ip_forward", "1"), writeSysctl("net/ipv6/conf/all/forwarding", "1"))
}

func (s sysctls) close() error {
	if s.quiescent == nil {
		return nil
	}
	return s.quiescent.Close()
}
