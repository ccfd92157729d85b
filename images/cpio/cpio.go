// Package cpio writes initial RAM file systems: the "newc" format that the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst). Equal contents give equal
// bytes: owners are root, times are one fixed time, the order is the caller's.
package cpio

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// Entry is one file, directory, link or device.
type Entry struct {
	Path string // absolute
	// Mode holds the permissions, and the kind: a directory, a symbolic link, a character
	// device, or none of these for a regular file.
	Mode         fs.FileMode
	Data         []byte // contents, or the target of a symbolic link
	Major, Minor uint32 // of a device
}

// Kinds of files as the format has them (stat(2)).
const (
	kindRegular = 0o100000
	kindDir     = 0o040000
	kindLink    = 0o120000
	kindChar    = 0o020000
)

// Align is the boundary in bytes to which Close pads. The kernel wants a following
// archive to begin at a multiple of four.
const Align = 512

// Writer writes an archive.
type Writer struct {
	w    io.Writer
	n    int64 // bytes written
	ino  uint32
	time int64
	have map[string]bool
	err  error
}

// NewWriter writes to w; every entry has the time, in Unix seconds.
func NewWriter(w io.Writer, time int64) *Writer {
	return &Writer{w: w, time: time, have: map[string]bool{"/": true}}
}

// Add writes an entry, and before it the directories above it that were not written yet.
func (w *Writer) Add(e Entry) error {
	at := path.Clean(e.Path)
	if !path.IsAbs(at) || at == "/" {
		return fmt.Errorf("archive: %q is not an absolute path of a file", e.Path)
	}
	if dir := path.Dir(at); !w.have[dir] {
		if err := w.Add(Entry{Path: dir, Mode: fs.ModeDir | 0o755}); err != nil {
			return err
		}
	}
	if w.have[at] {
		if e.Mode.IsDir() {
			return nil
		}
		return fmt.Errorf("archive: %s is there twice", at)
	}
	w.have[at] = true
	w.ino++
	mode, links := kind(e.Mode)|uint32(e.Mode.Perm()), uint32(1)
	if e.Mode.IsDir() {
		links = 2
	}
	return w.entry(strings.TrimPrefix(at, "/"), mode, links, e)
}

func kind(m fs.FileMode) uint32 {
	switch {
	case m.IsDir():
		return kindDir
	case m&fs.ModeSymlink != 0:
		return kindLink
	case m&fs.ModeCharDevice != 0:
		return kindChar
	}
	return kindRegular
}

func (w *Writer) entry(name string, mode, links uint32, e Entry) error {
	w.printf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		w.ino, mode, 0, 0, links, uint32(w.time), len(e.Data), 0, 0, e.Major, e.Minor, len(name)+1, 0)
	w.printf("%s\x00", name)
	w.pad(4)
	w.write(e.Data)
	w.pad(4)
	return w.err
}

// Close writes the end of the archive, padded to Align.
func (w *Writer) Close() error {
	w.ino = 0
	saved := w.time
	w.time = 0
	err := w.entry("TRAILER!!!", 0, 1, Entry{})
	w.time = saved
	w.pad(Align)
	if err != nil {
		return err
	}
	return w.err
}

func (w *Writer) printf(format string, args ...any) { w.write(fmt.Appendf(nil, format, args...)) }

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(b)
	w.n += int64(n)
	if err != nil {
		w.err = fmt.Errorf("write an archive: %w", err)
	}
}

func (w *Writer) pad(to int64) {
	if rest := w.n % to; rest != 0 {
		w.write(make([]byte, to-rest))
	}
}
