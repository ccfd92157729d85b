package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

func (a *app) backupCommand() *cobra.Command {
	passphraseFile, force := "", false
	cmd := &cobra.Command{
		Use: "backup FILE", Short: "Write a backup of the node, a .tar.gz", Args: cobra.ExactArgs(1),
		Long: `backup writes the configuration in force into one file, without passwords and secrets.
With --passphrase-file it also holds the accounts and the uploaded certificate with its
key, sealed with the passphrase in that file's first line (at least 12 characters).
Without the passphrase nobody can open that part.`,
		Example: "  lbctl backup lb1.tar.gz\n  lbctl backup lb1.tar.gz --passphrase-file lb1.passphrase",
		RunE: func(cmd *cobra.Command, args []string) error {
			passphrase, err := readPassphrase(passphraseFile)
			if err != nil {
				return err
			}
			return a.with(func(c *api.Client) error {
				err := writeNew(args[0], force, func(w io.Writer) error {
					data, err := makeBackup(cmd.Context(), c, passphrase)
					if err == nil {
						_, err = w.Write(data)
					}
					return err
				})
				if err != nil {
					return err
				}
				return a.done("%s is written", args[0])
			})
		},
	}
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "`file` with the passphrase: with accounts and certificate")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite the file if it is there")
	return cmd
}

func makeBackup(ctx context.Context, c *api.Client, passphrase string) ([]byte, error) {
	if passphrase == "" {
		return c.Backup(ctx)
	}
	return c.SealedBackup(ctx, passphrase)
}

// readPassphrase reads the first line of a file, "" if no file is named.
func readPassphrase(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	data, err := readFile(path, maxPassword)
	if err != nil {
		return "", inputError("read the passphrase: " + err.Error())
	}
	line, _, _ := strings.Cut(string(data), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", inputError(path + " holds no passphrase in its first line")
	}
	return line, nil
}

// maxFile bounds a file that is restored in bytes, as the API does.
const maxFile = 1 << 20

func (a *app) restoreCommand() *cobra.Command {
	passphraseFile := ""
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Bring back a backup, or a configuration file", Args: cobra.ExactArgs(1),
		Long: `restore takes the configuration of a backup, or a file of lbctl config, as pending
changes. Of a file of another node the node's own part is left out. Look at it with
lbctl changes, then lbctl apply.

With --passphrase-file also the accounts and the certificate of the backup are brought
back. They are replaced at once; without it they are left alone. A file that is refused
changes nothing.`,
		Example: "  lbctl backup backup.tar.gz\n  lbctl restore backup.tar.gz && lbctl changes",
		RunE: func(cmd *cobra.Command, args []string) error {
			passphrase, err := readPassphrase(passphraseFile)
			if err != nil {
				return err
			}
			data, err := readFile(args[0], maxFile)
			if err != nil {
				return inputError(err.Error())
			}
			if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) { // gzip
				return a.restoreBackup(cmd, api.Restore{File: data, Passphrase: passphrase})
			}
			if passphrase != "" {
				return inputError(args[0] + " is no backup but a configuration file, in which nothing is sealed: remove --passphrase-file")
			}
			return a.edit(args[0]+" is pending", func(c *api.Client) error { return c.Restore(cmd.Context(), "", data) })
		},
	}
	cmd.Flags().StringVar(&passphraseFile, "passphrase-file", "", "`file` with the passphrase: bring back accounts and certificate too")
	return cmd
}

func (a *app) restoreBackup(cmd *cobra.Command, want api.Restore) error {
	return a.with(func(c *api.Client) error {
		came, err := c.RestoreBackup(cmd.Context(), "", want)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("backup of %s, revision %s: %s\n", came.Node, came.Revision, strings.Join(came.Restored, ", "))
		if len(came.LeftOut) > 0 {
			text += fmt.Sprintf("left out: %s\n", strings.Join(came.LeftOut, "; "))
		}
		return a.print(came, text)
	})
}
