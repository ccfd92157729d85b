package debian

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"strings"
)

// maxFile bounds one file of a package in bytes.
const maxFile = 256 << 20

// File is a regular file of a package.
type File struct {
	Path string // absolute, as installed
	Data []byte
}

// Files calls visit for every regular file of a package whose path is wanted, in the
// package's order.
func Files(ctx context.Context, deb string, want func(path string) bool, visit func(File) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("read %s: %w", deb, err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("read %s: %w", deb, err)
	}
	if err := walk(tar.NewReader(out), want, visit); err != nil {
		cancel()
		_ = cmd.Wait()
		return fmt.Errorf("read %s: %w", deb, err)
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		return fmt.Errorf("read %s: %w", deb, errors.Join(err, cmd.Wait()))
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("unpack %s: %w", deb, err)
	}
	return nil
}

func walk(r *tar.Reader, want func(string) bool, visit func(File) error) error {
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		at := path.Clean("/" + strings.TrimPrefix(h.Name, "."))
		if h.Typeflag != tar.TypeReg || !want(at) {
			continue
		}
		if h.Size > maxFile {
			return fmt.Errorf("%s has %d bytes, more than an image can take", at, h.Size)
		}
		data, err := io.ReadAll(io.LimitReader(r, maxFile))
		if err != nil {
			return err
		}
		if err := visit(File{at, data}); err != nil {
			return err
		}
	}
}

// One returns the only wanted file of a package.
func One(ctx context.Context, deb string, want func(path string) bool) (File, error) {
	var found []File
	err := Files(ctx, deb, want, func(f File) error { found = append(found, f); return nil })
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s has %d such files instead of one", deb, len(found))
	}
	if err != nil {
		return File{}, err
	}
	return found[0], nil
}
