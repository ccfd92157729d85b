package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

// maxPEM bounds a file of certificates or a key in bytes; the daemon takes fewer.
const maxPEM = 1 << 18

func (a *app) certificateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certificate",
		Short: "Show or change the certificate of the WebUI and the API",
		Long: `certificate shows the certificate that this node uses for HTTPS, or changes it. Without
one of your own the node makes one for itself, of which browsers warn. A change is in
effect at once and cuts no connection. Programs and a peer that know the node by its
pin must be given the new one.`,
		Args: subcommand, RunE: a.group,
	}
	cmd.AddCommand(a.certificateShow(), a.certificateSet(), a.certificateReset())
	return cmd
}

func (a *app) certificateShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Show the certificate in use", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				cert, err := c.Certificate(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(cert, certificateText(cert))
			})
		},
	}
}

func certificateText(c api.Certificate) string {
	var b strings.Builder
	kind := "made by this node for itself"
	if c.Uploaded {
		kind = "uploaded"
	}
	fmt.Fprintf(&b, "certificate %s\n", kind)
	for _, row := range [][2]string{
		{"subject", c.Subject},
		{"issuer", c.Issuer},
		{"names", strings.Join(c.Names, ", ")},
		{"valid", c.NotBefore.Format(time.RFC3339) + " to " + c.NotAfter.Format(time.RFC3339)},
		{"key", c.KeyType},
		{"chain", fmt.Sprint(c.Chain)},
		{"sha-256", c.Fingerprint},
		{"pin", c.Pin},
	} {
		fmt.Fprintf(&b, "  %-8s %s\n", row[0], row[1])
	}
	for _, w := range c.Warnings {
		fmt.Fprintf(&b, "▲ %s\n", w)
	}
	return b.String()
}

func (a *app) certificateSet() *cobra.Command {
	return &cobra.Command{
		Use: "set CHAIN KEY", Short: "Use a certificate of your own",
		Long: `set takes two PEM files in use: the certificate chain, this node's own first and then
those that signed it, and its private key without a password. What is wrong with them
is told, and nothing is changed then.`,
		Example: "  lbctl certificate set fullchain.pem key.pem",
		Args:    files("a certificate chain and a key", 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			chain, chainErr := small(args[0], maxPEM)
			key, keyErr := small(args[1], maxPEM)
			if err := errors.Join(chainErr, keyErr); err != nil {
				return err
			}
			return a.with(func(c *api.Client) error {
				cert, err := c.SetCertificate(cmd.Context(), api.NewCertificate{Chain: string(chain), Key: string(key)})
				if err != nil {
					return err
				}
				return a.print(cert, certificateText(cert))
			})
		},
	}
}

func (a *app) certificateReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset", Short: "Use the certificate that the node makes for itself again", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				cert, err := c.ResetCertificate(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(cert, certificateText(cert))
			})
		},
	}
}

// small reads a file of limited length.
func small(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = inputError(fmt.Sprintf("%s is longer than %d kB", name, most>>10))
	}
	return data, err
}

// files is the Args of a command that takes n files.
func files(what string, n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return fmt.Errorf("%q needs the names of the files: %s", cmd.CommandPath(), what)
		}
		return nil
	}
}
