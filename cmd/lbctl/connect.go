package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/vosbed/vosbed/appliance/api"
)

// connectionFlags say which node is meant. Each can also come from the environment.
func (a *app) connectionFlags(flags *pflag.FlagSet) {
	flags.StringVar(&a.socket, "socket", cmp.Or(os.Getenv("VOSBED_SOCKET"), "/run/vosbed/lbd.sock"), "unix `socket` of the daemon (VOSBED_SOCKET)")
	flags.StringVar(&a.address, "address", os.Getenv("VOSBED_ADDRESS"), "`host:port` of a remote node's HTTPS API (VOSBED_ADDRESS)")
	flags.StringVar(&a.tokenFile, "token-file", os.Getenv("VOSBED_TOKEN_FILE"), "`file` with the token for --address (VOSBED_TOKEN_FILE)")
	flags.StringVar(&a.pin, "pin", os.Getenv("VOSBED_PIN"), "`pin` of the remote node's certificate, sha256//…; empty trusts the system's authorities (VOSBED_PIN)")
}

// checkConnection refuses flags of two nodes at once and flags that would be ignored.
// What is written counts more than the environment.
func (a *app) checkConnection(flags *pflag.FlagSet) error {
	if flags.Changed("socket") {
		if flags.Changed("address") {
			return inputError("--socket is this machine's daemon and --address a remote one: give one of them")
		}
		if a.socket == "" {
			return inputError("--socket is empty: write the path of the daemon's socket")
		}
		a.address = ""
	}
	for _, name := range []string{"token-file", "pin"} {
		if flags.Changed(name) && a.address == "" {
			return inputError("--" + name + " belongs to --address: add the remote node's, or remove it")
		}
	}
	return nil
}

// with calls fn with a client of the chosen node.
func (a *app) with(fn func(*api.Client) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	defer c.Close()
	return fn(c)
}

func (a *app) client() (*api.Client, error) {
	if a.address == "" {
		return api.NewUnix(a.socket), nil
	}
	token, err := readToken(a.tokenFile)
	if err != nil {
		return nil, err
	}
	c, err := api.NewHTTPS(a.address, token, a.pin)
	if err != nil {
		return nil, inputError(err.Error())
	}
	return c, nil
}

// readToken reads the file that holds a token and nothing else.
func readToken(path string) (string, error) {
	if path == "" {
		return "", inputError("--address needs --token-file: a file with the token that \"lbctl token\" printed on that node")
	}
	data, err := readFile(path, maxToken)
	if err != nil {
		return "", inputError("read the token: " + err.Error())
	}
	words := strings.Fields(string(data))
	if len(words) != 1 {
		return "", inputError(fmt.Sprintf("%s holds %d words: it must hold the token that \"lbctl token\" printed, and nothing else", path, len(words)))
	}
	return words[0], nil
}

// maxToken bounds the file of a token, in bytes. A token is far shorter.
const maxToken = 4096
