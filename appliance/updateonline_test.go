package appliance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
	"github.com/vosbed/vosbed/internal/slots/testuki"
)

// updateServer is the folder of a release on a web server, which an appliance trusts.
func updateServer(t *testing.T, version string, key minisign.SecretKey) (set lb.Update, files map[string][]byte) {
	t.Helper()
	var archive bytes.Buffer
	if err := bundle.Write(&archive, version, testuki.Make("k", "r"), key); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(archive.Bytes())
	x := bundle.Index{Product: bundle.Product, Arch: bundle.Arch, Version: version, File: "v.update", Size: int64(archive.Len()), SHA256: hex.EncodeToString(sum[:]), Notes: "Faster."}
	index, signature, err := x.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{"/" + bundle.IndexName: index, "/" + bundle.IndexSignatureName: signature, "/v.update": archive.Bytes()}
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(files[r.URL.Path]) }))
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return lb.Update{Server: srv.URL, CAFile: ca}, files
}

func (o onlineUpdates) configure(set lb.Update) {
	o.facts.setConfig(lb.Config{Node: lb.Node{Name: "lb1", Update: set}}, "r")
}

func TestUpdateFromAServer(t *testing.T) {
	u, key, _ := withSlots(t)
	u.status.Store(&lb.Status{})
	o := newOnlineUpdates(u)
	ctx := t.Context()
	for _, err := range []error{second(o.Check(ctx)), second(o.Fetch(ctx, "1.1.0"))} {
		if !errors.Is(err, mgmt.ErrRefused) || !strings.Contains(err.Error(), "no update server is configured, and nobody is asked") {
			t.Errorf("%v", err)
		}
	}
	set, files := updateServer(t, "1.1.0", key)
	o.configure(set)
	if known, err := o.Known(ctx); err != nil || known.Server != set.Server || known.Checked != nil {
		t.Errorf("%+v, %v", known, err)
	}
	found, err := o.Check(ctx)
	if err != nil || found.Available == nil || found.Available.Version != "1.1.0" || found.Available.Notes != "Faster." || found.Checked == nil {
		t.Fatalf("%+v, %v", found, err)
	}
	if _, err = o.Fetch(ctx, "1.2.0"); err == nil || !strings.Contains(err.Error(), "check for updates again") {
		t.Errorf("another version: %v", err)
	}
	whole := files["/v.update"]
	files["/v.update"] = whole[:len(whole)-1]
	if _, err = o.Fetch(ctx, "1.1.0"); !errors.Is(err, mgmt.ErrRefused) || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("a part: %v", err)
	}
	files["/v.update"] = whole
	got, err := o.Fetch(ctx, "1.1.0")
	if err != nil || got.Restart != "1.1.0" {
		t.Errorf("%+v, %v", got, err)
	}
	if left, err := filepath.Glob(filepath.Join(o.opts.StateDir, updateDir, "upload-*")); err != nil || len(left) > 0 {
		t.Errorf("%q is left, %v", left, err)
	}
	o.configure(lb.Update{Server: "https://127.0.0.1:1/"})
	if known, err := o.Known(ctx); err != nil || known.Latest != "" {
		t.Errorf("another server said %+v, %v", known, err)
	}
	if _, err := o.Check(ctx); !errors.Is(err, mgmt.ErrRefused) || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("%v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestUpdateServerIsNotNewer: an older version, and one of another key, are not offered.
func TestUpdateServerIsNotNewer(t *testing.T) {
	u, key, _ := withSlots(t)
	o := newOnlineUpdates(u)
	for _, version := range []string{"1.0.0", "0.9.0"} {
		set, _ := updateServer(t, version, key)
		o.configure(set)
		if got, err := o.Check(t.Context()); err != nil || got.Available != nil || got.Latest != version {
			t.Errorf("%+v, %v", got, err)
		}
		if _, err := o.Fetch(t.Context(), version); !errors.Is(err, mgmt.ErrRefused) || !strings.Contains(err.Error(), "is not newer") {
			t.Errorf("%v", err)
		}
	}
	other, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	set, _ := updateServer(t, "9.0.0", other)
	o.configure(set)
	if _, err := o.Check(t.Context()); !errors.Is(err, mgmt.ErrRefused) || !strings.Contains(err.Error(), "is not believed") {
		t.Errorf("%v", err)
	}
	o.updates = openUpdates(&Appliance{opts: Options{}, log: u.log})
	for _, err := range []error{second(o.Known(t.Context())), second(o.Check(t.Context())), second(o.Fetch(t.Context(), "9.0.0"))} {
		if !errors.Is(err, mgmt.ErrRefused) {
			t.Errorf("where packages update: %v", err)
		}
	}
}

// TestLookOut: a server is asked soon after the start, and once a day; another one soon; and
// none where none is configured, or the administrator looks himself.
func TestLookOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		set, asked := lb.Update{}, []string{}
		configure := func(u lb.Update) {
			mu.Lock()
			defer mu.Unlock()
			set = u
		}
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() {
			new(lastCheck).lookOut(ctx, func() lb.Update {
				mu.Lock()
				defer mu.Unlock()
				return set
			}, func(context.Context) {
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, set.Server)
			})
		})
		for _, step := range []struct {
			set  lb.Update
			wait time.Duration
			want int
		}{
			{lb.Update{}, 48 * time.Hour, 0},
			{lb.Update{Server: "a", Manual: true}, 48 * time.Hour, 0},
			{lb.Update{Server: "a"}, 15 * time.Minute, 1},
			{lb.Update{Server: "a"}, 23 * time.Hour, 1},
			{lb.Update{Server: "a"}, time.Hour, 2},
			{lb.Update{Server: "b"}, 15 * time.Minute, 3},
			{lb.Update{}, 48 * time.Hour, 3},
		} {
			configure(step.set)
			<-time.After(step.wait)
			synctest.Wait()
			mu.Lock()
			if len(asked) != step.want {
				t.Errorf("%+v for %v: asked %v, want %d times", step.set, step.wait, asked, step.want)
			}
			mu.Unlock()
		}
		cancel()
		done.Wait()
	})
}

// TestLook finds what an administrator sees afterwards, and survives a server that hangs up.
func TestLook(t *testing.T) {
	u, key, _ := withSlots(t)
	u.status.Store(&lb.Status{})
	o := newOnlineUpdates(u)
	set, files := updateServer(t, "1.1.0", key)
	o.configure(set)
	index := files["/"+bundle.IndexName]
	files["/"+bundle.IndexName] = nil
	o.look(t.Context())
	if known, err := o.Known(t.Context()); err != nil || known.Available != nil {
		t.Errorf("%+v, %v", known, err)
	}
	files["/"+bundle.IndexName] = index
	o.look(t.Context())
	if known, err := o.Known(t.Context()); err != nil || known.Available == nil || known.Available.Version != "1.1.0" {
		t.Errorf("%+v, %v", known, err)
	}
}
