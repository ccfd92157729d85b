package system

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

// written is the first line of every file of ours.
const written = "# Written by lbd from node.system of its configuration: changes here are lost.\n"

// readBounded reads a small file.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is longer than %d bytes", path, most)
	}
	return data, err
}

// look reads what is at a path.
func look(path string) (content, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return content{Kind: absent}, nil
	case err != nil:
		return content{}, err
	case info.Mode()&fs.ModeSymlink != 0:
		to, failed := os.Readlink(path)
		return content{Kind: isLink, Data: []byte(to)}, failed
	case !info.Mode().IsRegular():
		return content{}, fmt.Errorf("%s is neither a file nor a link", path)
	}
	data, err := readBounded(path, maxFile)
	return content{isFile, data, info.Mode().Perm()}, err
}

// put makes a path hold a content, in one step.
func put(path string, c content) error {
	switch c.Kind {
	case absent:
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	case isLink:
		temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".vosbed")
		if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink(string(c.Data), temp); err != nil {
			return err
		}
		return os.Rename(temp, path)
	}
	return atomicfile.Write(path, c.Data, c.Mode)
}

// own makes a path hold what we want, and remembers what was there. It says whether it
// has changed anything.
func (p *pass) own(path string, want content) (changed bool, err error) {
	now, err := look(path)
	if err != nil || now.equal(want) {
		return false, err
	}
	known, ours := p.state.kept.Files[path]
	if !ours {
		known.Before = now
	}
	known.Ours = want
	p.state.kept.Files[path] = known
	if err := p.state.save(); err != nil {
		return false, err
	}
	return true, mounted(path, put(path, want))
}

// mounted explains why a file of a container cannot be replaced.
func mounted(path string, err error) error {
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s is mounted from elsewhere, as in a container: set it there, and remove it from node.system", path)
	}
	return err
}

// giveBack puts back what was at a path before, if it is still ours.
func (p *pass) giveBack(path string) (changed bool, err error) {
	known, ours := p.state.kept.Files[path]
	if !ours {
		return false, nil
	}
	now, err := look(path)
	if err != nil {
		return false, err
	}
	if now.equal(known.Ours) {
		if err := mounted(path, put(path, known.Before)); err != nil {
			return false, err
		}
		changed = true
	}
	delete(p.state.kept.Files, path)
	return changed, p.state.save()
}

// linked refuses to write where a link leads somewhere else.
func linked(path, todo string) error {
	if now, err := look(path); err == nil && now.Kind == isLink {
		return fmt.Errorf("%s is a link to %s, which another program writes: %s", path, now.Data, todo)
	}
	return nil
}

func text(lines string) content { return content{isFile, []byte(lines), 0o644} }

// hostname sets the kernel's name and the file from which it comes at the next boot.
func (p *pass) hostname() error {
	path := p.opts.etc("hostname")
	now, err := Hostname()
	if err != nil {
		return err
	}
	if p.want.Hostname == "" {
		_, err := p.giveBack(path)
		return errors.Join(err, p.formerName(now))
	}
	if err := linked(path, "replace it by a file"); err != nil {
		return err
	}
	if _, err := p.own(path, text(p.want.Hostname+"\n")); err != nil {
		return err
	}
	if now == p.want.Hostname {
		return nil
	}
	if p.state.kept.Hostname == nil {
		p.state.kept.Hostname = &value{Before: now}
	}
	p.state.kept.Hostname.Ours = p.want.Hostname
	if err := p.state.save(); err != nil {
		return err
	}
	return p.setName(p.want.Hostname)
}

func (p *pass) setName(name string) error {
	if err := p.opts.SetHostname(name); err != nil {
		return fmt.Errorf("set it to %s: %w", name, err)
	}
	return nil
}

// formerName puts the kernel's name back.
func (p *pass) formerName(now string) error {
	known := p.state.kept.Hostname
	if known == nil {
		return nil
	}
	if now == known.Ours {
		if err := p.setName(known.Before); err != nil {
			return err
		}
	}
	p.state.kept.Hostname = nil
	return p.state.save()
}

// Hostname is the machine's present one, of the calling thread's UTS namespace.
func Hostname() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("read the hostname: %w", err)
	}
	return unix.ByteSliceToString(u.Nodename[:]), nil
}

// resolver writes resolv.conf(5).
func (p *pass) resolver() error {
	path := p.opts.etc("resolv.conf")
	servers := p.want.DNS.Servers
	if len(servers) == 0 && linked(path, "") == nil {
		servers = p.leasedDNS()
	}
	if len(servers) == 0 {
		_, err := p.giveBack(path)
		return err
	}
	if err := linked(path, "set the servers there and remove dns from node.system, or replace the link by a file"); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(written)
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	search := p.want.DNS.Search
	if p.want.Domain != "" {
		search = append([]string{p.want.Domain}, search...)
	}
	if len(search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(search, " "))
	}
	_, err := p.own(path, text(b.String()))
	return err
}

// HasZone says whether the machine's tz database has a zone.
func (a *Actuator) HasZone(name string) bool {
	if !filepath.IsLocal(name) {
		return false
	}
	f, err := os.Open(filepath.Join(a.opts.Zones, name))
	if err != nil {
		return false
	}
	defer f.Close()
	magic := make([]byte, 4)
	_, err = io.ReadFull(f, magic)
	return err == nil && bytes.Equal(magic, []byte("TZif")) // RFC 9636
}

// zone makes /etc/localtime lead to the zone.
func (p *pass) zone() error {
	path := p.opts.etc("localtime")
	name := p.want.Clock.Zone
	if name == "" {
		_, err := p.giveBack(path)
		return err
	}
	if !p.HasZone(name) {
		return fmt.Errorf("this machine has no time zone %q: see %s for those that it has (package tzdata)", name, p.opts.Zones)
	}
	_, err := p.own(path, content{Kind: isLink, Data: []byte(filepath.Join(p.opts.Zones, name))})
	return err
}

// ntp writes the servers where chrony looks for sources (chrony.conf(5), sourcedir).
func (p *pass) ntp() error {
	dir := p.opts.etc("chrony")
	path := filepath.Join(dir, "sources.d", "vosbed.sources")
	change := p.giveBack
	if len(p.want.Clock.Servers) > 0 {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return fmt.Errorf("the NTP servers have no effect, as chrony is not on this machine (no %s): install chrony", dir)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		var lines strings.Builder
		lines.WriteString(written)
		for _, s := range p.want.Clock.Servers {
			fmt.Fprintf(&lines, "server %s iburst\n", s)
		}
		change = func(path string) (bool, error) { return p.own(path, text(lines.String())) }
	}
	changed, err := change(path)
	if err != nil {
		return err
	}
	p.renewed = p.renewed || changed
	if !p.renewed {
		return nil
	}
	if err := p.opts.Reload(p.ctx); err != nil {
		return fmt.Errorf("%s is written, but chrony has not read it: %w", path, err)
	}
	p.renewed = false
	return nil
}
