package drive

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/vosbed/vosbed/harness/browser"
)

// Size of the window, in CSS pixels.
const (
	width  = 1280
	height = 900
)

// trustTime bounds the look at one certificate.
const trustTime = 3 * time.Second

// tab is the one page of the browser.
type tab struct {
	ctx   context.Context //nolint:containedctx // chromedp keeps its state in it
	busy  *traffic
	notes *notes
	end   func()
	// complaints are what goes wrong in the page unseen.
	complaints *notes
}

// launch starts the browser in a fresh directory and opens a blank page. It speaks
// with it through pipes: no port is opened. The kernel kills it with this process.
func launch(ctx context.Context, h browser.Hello, stderr io.Writer) (*tab, error) {
	trusted, err := trust(ctx, h.Trust)
	if err != nil {
		return nil, err
	}
	if err = os.MkdirAll(h.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the browser's folder: %w", err)
	}
	temp, err := tempDir(h.Dir)
	if err != nil {
		return nil, err
	}
	busy, said := newTraffic(), &notes{}
	ctx, stop := chromedp.NewExecAllocator(ctx, append(options(h, trusted), chromedp.CombinedOutput(stderr), chromedp.Env("TMPDIR="+temp))...)
	complain := func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithListener(busy.note), chromedp.WithErrorf(complain), chromedp.WithLogf(complain))
	t := &tab{ctx: ctx, busy: busy, notes: said, complaints: &notes{}, end: func() {
		closeTab()
		stop()
		_ = errors.Join(os.RemoveAll(temp), os.RemoveAll(h.Dir)) // what is left lies in the run directory
	}}
	if err = t.prepare(); err != nil {
		t.end()
		return nil, fmt.Errorf("open the browser: %w", err)
	}
	return t, nil
}

// program is what Debian's launcher script would start: no shell stands between.
func program(path string) string {
	if behind := "/usr/lib/chromium/chromium"; filepath.Base(path) == "chromium" {
		if _, err := os.Stat(behind); err == nil {
			return behind
		}
	}
	return path
}

func options(h browser.Hello, trusted []string) []chromedp.ExecAllocatorOption {
	out := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(program(h.Program)),
		chromedp.UserDataDir(filepath.Join(h.Dir, "profile")),
		chromedp.Env("HOME="+h.Dir, "XDG_CONFIG_HOME="+h.Dir, "XDG_CACHE_HOME="+h.Dir, "LANG=C.UTF-8"),
		chromedp.WindowSize(width, height),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-features", "Translate,MediaRouter,OptimizationHints,AutofillServerCommunication"),
		chromedp.Flag("password-store", "basic"),
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("log-level", "3"), // what ends it: it also complains that there is no desktop
	}
	for _, flag := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-extensions",
		"disable-default-apps", "disable-domain-reliability", "disable-client-side-phishing-detection", "dns-prefetch-disable",
		"disable-breakpad", "disable-crash-reporter", "disable-dev-shm-usage", "metrics-recording-only", "mute-audio",
		"disable-renderer-backgrounding", "disable-background-timer-throttling", "no-pings",
	} {
		out = append(out, chromedp.Flag(flag, true))
	}
	if len(trusted) > 0 {
		out = append(out, chromedp.Flag("ignore-certificate-errors-spki-list", strings.Join(trusted, ",")))
	}
	return out
}

// socketName is as long as the browser's socket is in its folder for temporary files.
const socketName = "/org.chromium.Chromium.XXXXXX/SingletonSocket"

// tempDir makes the browser's folder for temporary files in its own, unless the path of
// a socket in it would be longer than the kernel takes.
func tempDir(dir string) (string, error) {
	parent := dir
	if len(dir)+len("/t1234567890")+len(socketName) >= maxSocketPath {
		parent = os.TempDir()
	}
	temp, err := os.MkdirTemp(parent, "t")
	if err != nil {
		return "", fmt.Errorf("make a folder for temporary files: %w", err)
	}
	return temp, nil
}

// maxSocketPath is the kernel's bound on a unix socket's path.
const maxSocketPath = 107

// trust returns the pins of the certificates that the addresses show now, as a person
// accepts them at the browser's warning. One that does not answer is not trusted.
func trust(ctx context.Context, addresses []string) ([]string, error) {
	var pins []string
	for _, a := range addresses {
		d := tls.Dialer{NetDialer: &net.Dialer{Timeout: trustTime}, Config: &tls.Config{InsecureSkipVerify: true}}
		c, err := d.DialContext(ctx, "tcp", a)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			continue
		}
		shown, ok := c.(*tls.Conn)
		if ok && len(shown.ConnectionState().PeerCertificates) > 0 {
			sum := sha256.Sum256(shown.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
			pins = append(pins, base64.StdEncoding.EncodeToString(sum[:]))
		}
		_ = c.Close()
	}
	return pins, nil
}

// died turns the error of a browser that is gone into a sentence, nil if it lives.
func (t *tab) died(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return fmt.Errorf("the browser has died (%w)", exit)
	}
	if err == nil || t.ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		return nil
	}
	return errors.New("the browser has died")
}
