package support

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// Below these the node is in need.
const (
	leastShare   = 10       // per cent of a disk or of the memory
	leastDisk    = 64 << 20 // bytes: history, audit trail and graphs need room
	leastMemory  = 64 << 20 // bytes
	leastFiles   = 16384    // descriptors: a proxied session takes two
	soonExpiring = 30 * 24 * time.Hour
)

func (f Facts) node() []api.SupportCheck {
	out := []api.SupportCheck{
		f.clock(),
		space("Disk of the state directory", "remove what fills the file system: without room no change can be kept", f.Machine.Disk, leastDisk),
		space("Memory", "give the machine more memory, or find in the archive what takes it", f.Machine.Memory, leastMemory),
		f.files(),
	}
	out = append(out, f.secrets()...)
	out = append(out, f.certificates()...)
	return append(out, f.problems())
}

// problems are what the parts of the daemon say themselves, on the overview too.
func (f Facts) problems() api.SupportCheck {
	const name = "Problems of the daemon"
	if len(f.Status.Problems) == 0 {
		return okay(name, "none")
	}
	return fail(name, "do what each of them says; the log has more", "%s", strings.Join(f.Status.Problems, " · "))
}

func (f Facts) clock() api.SupportCheck {
	const name = "Time"
	at := f.Now.UTC().Format(time.RFC3339)
	switch {
	case f.Now.Before(f.Machine.Built):
		return fail(name, "set the clock: certificates and the audit trail depend on it",
			"it is %s, which is before this program was made (%s)", at, f.Machine.Built.UTC().Format(time.RFC3339))
	case f.Machine.Clock == ClockFree:
		return warn(name, "let the machine follow a time server (chrony, systemd-timesyncd)", "it is %s; the clock follows no time server", at)
	case f.Machine.Clock == ClockUnknown:
		return okay(name, "it is %s; whether the clock follows a time server is not known", at)
	}
	return okay(name, "it is %s, and the clock follows a time server", at)
}

// space judges what is left of something of which a tenth and a least must be free.
func space(name, fix string, s Space, least uint64) api.SupportCheck {
	if s.Total == 0 {
		return skip(name, "could not be read")
	}
	seen := fmt.Sprintf("%d of %d MiB are free", s.Free>>20, s.Total>>20)
	switch {
	case s.Free < least:
		return fail(name, fix, "%s", seen)
	case s.Free < s.Total/100*leastShare:
		return warn(name, fix, "%s", seen)
	}
	return okay(name, "%s", seen)
}

func (f Facts) files() api.SupportCheck {
	const name = "Open file limit"
	switch n := f.Machine.Files; {
	case n == 0:
		return skip(name, "could not be read")
	case n < leastFiles:
		return warn(name, fmt.Sprintf("raise it to %d or more (LimitNOFILE= of the service): a proxied session takes two", leastFiles), "the daemon may open %d files", n)
	default:
		return okay(name, "the daemon may open %d files", n)
	}
}

func (f Facts) secrets() []api.SupportCheck {
	var out []api.SupportCheck
	for _, s := range f.Secrets {
		name := "Permissions of " + s.Path
		switch {
		case errors.Is(s.Err, fs.ErrNotExist):
			out = append(out, skip(name, "there is no such file"))
		case s.Err != nil:
			out = append(out, warn(name, "see that the daemon can read it", "%v", s.Err))
		case s.Mode.Perm()&0o077 != 0:
			out = append(out, fail(name, "chmod 600 "+s.Path+", and replace the secret if others may have read it", "mode %v: others than its owner may use it", s.Mode.Perm()))
		default:
			out = append(out, okay(name, "mode %v", s.Mode.Perm()))
		}
	}
	return out
}

func (f Facts) certificates() []api.SupportCheck {
	var out []api.SupportCheck
	for _, c := range f.Certificates {
		name := "Certificate of " + c.Name
		seen := fmt.Sprintf("valid from %s to %s", c.NotBefore.UTC().Format(time.DateOnly), c.NotAfter.UTC().Format(time.DateOnly))
		switch {
		case f.Now.Before(c.NotBefore):
			out = append(out, fail(name, "set the clock, or install a certificate that is valid now", "%s: not valid yet", seen))
		case !f.Now.Before(c.NotAfter):
			out = append(out, fail(name, "install a new certificate, or restart lbd if it is the node's own", "%s: expired", seen))
		case f.Now.Add(soonExpiring).After(c.NotAfter):
			out = append(out, warn(name, "install a new certificate, or restart lbd if it is the node's own", "%s: expires soon", seen))
		default:
			out = append(out, okay(name, "%s", seen))
		}
	}
	return out
}
