package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/images/release"
	"github.com/vosbed/vosbed/images/secureboot"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
)

func verifyCommand() *cobra.Command {
	var key string
	var rebuild bool
	cmd := &cobra.Command{
		Use:   "verify [DIR]",
		Short: "Verify a folder of images, and that these sources give the same ones",
		Long: "Verify the signature over a folder of images with a public key that you know from elsewhere, and every file\n" +
			"in it. With --rebuild also build the images again from the sources in this folder, and compare every one of\n" +
			"them: equal sources give equal bytes, whoever builds them.",
		Example: "  mkimage verify\n  mkimage verify --key vosbed.pub --rebuild /mnt/release",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := outDir
			if len(args) == 1 {
				dir = args[0]
			}
			return verify(cmd.Context(), dir, key, rebuild, printer(cmd.OutOrStdout()))
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "public key: `file` (default: that of your own releases)")
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "build again and compare")
	return cmd
}

func verify(ctx context.Context, dir, keyFile string, rebuild bool, say func(string, ...any)) error {
	key, err := publicKey(keyFile)
	if err != nil {
		return err
	}
	if err := release.Verify(dir, key); err != nil {
		return err
	}
	say("the signature and every file of %s are right", dir)
	if !rebuild {
		return nil
	}
	return compareBuilds(ctx, dir, key, say)
}

// publicKey reads a key, or takes that of one's own releases.
func publicKey(file string) (minisign.PublicKey, error) {
	if file != "" {
		return minisign.ReadPublicKey(file)
	}
	at, err := release.KeyPath()
	if err != nil {
		return minisign.PublicKey{}, err
	}
	if _, err = os.Stat(at); err != nil {
		return minisign.PublicKey{}, errors.New("you have no key of your own: name the one that the images are to be signed with (--key FILE)")
	}
	secret, err := minisign.LoadOrCreate(at)
	if err != nil {
		return minisign.PublicKey{}, err
	}
	return secret.Public(), nil
}

// compareBuilds builds the version that is in a folder again.
func compareBuilds(ctx context.Context, dir string, key minisign.PublicKey, say func(string, ...any)) error {
	image, err := newest(dir)
	if err != nil {
		return err
	}
	version := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(image), product+"-"), release.QCOW2)
	trust, err := givenTrust(filepath.Join(dir, product+"-"+version), key)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "vosbed-verify")
	if err != nil {
		return fmt.Errorf("make a folder for the build: %w", err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	again := filepath.Join(temp, "images")
	if err = (builder{version, again, key, trust, say}).build(ctx); err != nil {
		return err
	}
	differ, err := sumsDiffer(filepath.Join(dir, release.Sums), filepath.Join(again, release.Sums))
	if err != nil {
		return err
	}
	if len(differ) > 0 {
		return fmt.Errorf("these sources give other bytes in %s: they are others than those of the images, or another version of qemu-img or Go made them", strings.Join(differ, ", "))
	}
	say("these sources give the same bytes in every format")
	return nil
}

// givenTrust takes the signatures for Secure Boot from a release.
func givenTrust(name string, key minisign.PublicKey) (secureboot.Given, error) {
	packed, err := os.ReadFile(name + release.SecureBoot)
	if err != nil {
		return secureboot.Given{}, fmt.Errorf("read the keys for Secure Boot: %w", err)
	}
	files, err := secureboot.Unpack(bytes.NewReader(packed))
	if err != nil {
		return secureboot.Given{}, err
	}
	f, err := os.Open(name + release.Update)
	if err != nil {
		return secureboot.Given{}, fmt.Errorf("read the update: %w", err)
	}
	defer f.Close()
	archive, err := bundle.Open(f, key)
	if err != nil {
		return secureboot.Given{}, err
	}
	system, err := io.ReadAll(archive)
	if err != nil {
		return secureboot.Given{}, err
	}
	loader := files[secureboot.Loader]
	delete(files, secureboot.Loader)
	return secureboot.Given{Files: files, Programs: map[string][]byte{secureboot.Loader: loader, secureboot.System: system}}, nil
}

// sumsDiffer names the files whose sums differ, but for those that hold the key or are
// signed with it: the system in an update is the one on the disks.
func sumsDiffer(one, two string) ([]string, error) {
	a, err := readSums(one)
	if err != nil {
		return nil, err
	}
	b, err := readSums(two)
	if err != nil {
		return nil, err
	}
	var out []string
	for name, sum := range a {
		if b[name] != sum && name != release.PublicKey && name != release.ReadMe && !strings.HasSuffix(name, release.Update) && name != bundle.IndexName && name != bundle.IndexSignatureName {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out, nil
}

// readSums reads a list of checksums (sha256sum(1)).
func readSums(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read checksums: %w", err)
	}
	out := map[string]string{}
	for line := range bytes.Lines(data) {
		sum, name, _ := strings.Cut(strings.TrimSpace(string(line)), "  ")
		out[strings.TrimPrefix(name, "*")] = sum
	}
	return out, nil
}
