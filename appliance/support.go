package appliance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/internal/support"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

// helpdesk looks at the whole appliance for those who help.
type helpdesk struct {
	*Appliance
	people mgmt.People
	one    sync.Mutex // archive at a time
}

// Checks are the diagnostic checks of now.
func (h *helpdesk) Checks(ctx context.Context) (api.SupportChecks, error) {
	f := h.support()
	f.PeerClock = h.peerClock(ctx, f.Status)
	return support.Diagnose(f), nil
}

// peerWithin bounds the look at the peer's clock: a page waits for it.
const peerWithin = time.Second

// peerClock asks the WebUI of a peer that is alive; nil = it does not say.
func (h *helpdesk) peerClock(ctx context.Context, st lb.Status) *time.Duration {
	cfg, _ := h.facts.current()
	if !st.Pair.PeerAlive || len(cfg.Node.Paths) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, peerWithin)
	defer cancel()
	report, err := h.pairing.LookAt(ctx, cfg.Node.Paths[0].Peer.Addr().String())
	if err != nil {
		return nil
	}
	apart, err := h.pairing.clock(ctx, report)
	if err != nil {
		return nil
	}
	return &apart
}

// support gathers the facts.
func (h *helpdesk) support() support.Facts {
	cfg, _ := h.facts.current()
	f := support.Facts{
		Now: time.Now(), Config: cfg, Status: h.Status(), Machine: support.Look(h.opts.StateDir),
		Storage: support.Storage{
			HistoryDir: filepath.Join(h.opts.StateDir, "history"), Trail: h.people.Trail.Verify(), Accounts: len(h.people.Accounts.List()),
		},
	}
	if err := unix.Access(f.Storage.HistoryDir, unix.W_OK); err != nil {
		f.Storage.History = fmt.Errorf("%s cannot be written: %w", f.Storage.HistoryDir, err)
	}
	f.VIPs = h.carried(cfg)
	for _, path := range h.secretFiles() {
		info, err := os.Stat(path)
		s := support.Secret{Path: path, Err: err}
		if err == nil {
			s.Mode = info.Mode()
		}
		f.Secrets = append(f.Secrets, s)
	}
	for _, path := range h.certificateFiles() {
		if _, leaf, err := publicPart(path); err == nil {
			leaf.Name = filepath.Base(path)
			f.Certificates = append(f.Certificates, leaf)
		}
	}
	return f
}

// carried lists every VIP once, with the interface that the plan found for it.
func (h *helpdesk) carried(cfg lb.Config) []support.VIP {
	found := map[netip.Addr]string{}
	if done := h.applied.Load(); done != nil {
		for _, v := range done.plan.VIPs {
			found[v.Addr] = v.Interface
		}
	}
	var out []support.VIP
	for _, s := range cfg.Services {
		v := support.VIP{Addr: s.Addr, Interface: found[s.Addr]}
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// secretFiles are the files that hold a secret: those of the state directory, and the one
// that the configuration names.
func (h *helpdesk) secretFiles() []string {
	var files []string
	for _, name := range []string{"accounts.json", "tokens.json", "token", "token.first", "pair.former", "farewell.json", "*.secret", "*.password", "*.key", "*.pem"} {
		found, _ := filepath.Glob(filepath.Join(h.opts.StateDir, name)) // the patterns are well formed
		files = append(files, found...)
	}
	cfg, _ := h.facts.current()
	if path := cfg.Cluster.SecretFile; path != "" && !slices.Contains(files, path) {
		files = append(files, path)
	}
	return files
}

// certificateFiles hold certificates with their keys, PEM.
func (h *helpdesk) certificateFiles() []string {
	files, _ := filepath.Glob(filepath.Join(h.opts.StateDir, "*.pem")) // the pattern is well formed
	return files
}

func publicPart(path string) ([]byte, support.Certificate, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, support.Certificate{}, err
	}
	return support.PublicPart(data)
}

// mostOfFile bounds what is read of a small file, in bytes.
const mostOfFile = 1 << 20

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, mostOfFile))
}

// secrets are what must never leave the node.
func (h *helpdesk) secrets() [][]byte {
	var out [][]byte
	for _, path := range h.secretFiles() {
		if data, err := readBounded(path); err == nil {
			out = append(out, support.SecretsIn(data)...)
		}
	}
	return out
}

// Archive writes a support download.
func (h *helpdesk) Archive(ctx context.Context, w io.Writer) error {
	if !h.one.TryLock() {
		return fmt.Errorf("%w: a support download is being made already: wait until it is done", mgmt.ErrRefused)
	}
	defer h.one.Unlock()
	cfg, _ := h.facts.current()
	return support.Archive{
		About:   support.About{Node: cfg.Node.Name, Version: buildinfo.Get().String(), At: time.Now().UTC()},
		Limits:  support.DefaultLimits(),
		Clean:   support.NewCleaner(h.secrets()),
		Sources: slices.Concat(h.sources(), support.MachineSources(h.opts.BPFFS)),
	}.Write(ctx, w)
}

// mostAudit is how much of the audit trail an archive has.
const mostAudit = 1000

// sources are what the appliance itself knows.
func (h *helpdesk) sources() []support.Source {
	d := drafts{h.Appliance}
	asked := func(v any) func(context.Context) (any, error) {
		return func(context.Context) (any, error) { return v, nil }
	}
	list := []support.Source{
		support.JSON("version.json", asked(buildinfo.Get())),
		support.JSON("checks.json", h.Checks),
		support.JSON("status.json", func(context.Context) (api.Status, error) { return mgmt.StatusOf(h.Status()), nil }),
		{Name: "configuration/running.yaml", Read: func(ctx context.Context) ([]byte, error) {
			text, _, err := backend{h.Appliance}.Config(ctx)
			return text, err
		}},
		{Name: "configuration/pending.yaml", Read: func(context.Context) ([]byte, error) { return config.EncodeDraft(h.draft.State().Config) }},
		support.JSON("configuration/pending.json", d.Draft),
		support.JSON("configuration/history.json", d.History),
		{Name: "plan.txt", Read: func(context.Context) ([]byte, error) {
			cfg, _ := h.facts.current()
			return []byte(PlanText(cfg)), nil
		}},
		{Name: "log.txt", Read: h.logText},
		support.JSON("audit.json", func(context.Context) (any, error) { return h.people.Trail.Latest(mostAudit) }),
		{Name: "metrics.txt", Read: func(ctx context.Context) ([]byte, error) { return mgmt.MetricsText(ctx, h) }},
		support.JSON("graphs.json", func(context.Context) (api.Stats, error) { return backend{h.Appliance}.Stats(24 * time.Hour), nil }),
	}
	for _, path := range h.certificateFiles() {
		list = append(list, support.Source{Name: "certificates/" + filepath.Base(path) + ".txt", Read: func(context.Context) ([]byte, error) {
			text, _, err := publicPart(path)
			return text, err
		}})
	}
	return list
}

func (h *helpdesk) logText(context.Context) ([]byte, error) {
	lines := h.book.Lines(slog.LevelDebug)
	slices.Reverse(lines)
	var b bytes.Buffer
	for _, l := range lines {
		fmt.Fprintf(&b, "%s %-5s %s\n", l.Value.At.UTC().Format(time.RFC3339Nano), l.Value.Level, l.Value.Text)
	}
	return b.Bytes(), nil
}
