package updateserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
)

// archive is what a release holds.
const archive = "an archive of a system"

// shelf is a static web server; what is in broken is answered so instead.
type shelf struct {
	files  map[string][]byte
	broken map[string]http.HandlerFunc
	asked  []string
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/vosbed/")
	s.asked = append(s.asked, name)
	if h := s.broken[name]; h != nil {
		h(w, r)
		return
	}
	data, ok := s.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write(data)
}

func indexOf(data string) bundle.Index {
	sum := sha256.Sum256([]byte(data))
	return bundle.Index{Product: bundle.Product, Arch: bundle.Arch, Version: "1.2.0", File: "v-1.2.0.update", Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

func newKey(t *testing.T) minisign.SecretKey {
	t.Helper()
	key, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// stock is a shelf with a release that a key has signed.
func stock(t *testing.T, key minisign.SecretKey) *shelf {
	t.Helper()
	file, signature, err := indexOf(archive).Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	return &shelf{files: map[string][]byte{bundle.IndexName: file, bundle.IndexSignatureName: signature, "v-1.2.0.update": []byte(archive)}, broken: map[string]http.HandlerFunc{}}
}

// open is the shelf over HTTPS, and a client that trusts it.
func open(t *testing.T, s http.Handler, key minisign.SecretKey) (*Server, lb.Update) {
	t.Helper()
	web := httptest.NewUnstartedServer(s)
	web.EnableHTTP2 = true
	web.StartTLS()
	t.Cleanup(web.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	set := lb.Update{Server: web.URL + "/vosbed", CAFile: ca}
	return ask(t, set, key), set
}

func ask(t *testing.T, set lb.Update, key minisign.SecretKey) *Server {
	t.Helper()
	s, err := New(set, key.Public(), Times{Answer: 2 * time.Second, Index: 2 * time.Second, Pause: 500 * time.Millisecond, Whole: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestFetch(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	s, _ := open(t, stock(t, key), key)
	x, err := s.Latest(t.Context())
	if err != nil || x.Version != "1.2.0" {
		t.Fatalf("%+v, %v", x, err)
	}
	var got bytes.Buffer
	if err := s.Fetch(t.Context(), x, &got); err != nil || got.String() != archive {
		t.Errorf("%q, %v", got.String(), err)
	}
}

// hang answers nothing until the asker has gone, or, with a text, nothing more.
func hang(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if text != "" {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	block := bytes.Repeat([]byte("x"), 1<<16)
	for r.Context().Err() == nil {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// TestServersThatAreNotBelieved: whatever a server does, it is refused with the reason and
// within the time.
func TestServersThatAreNotBelieved(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	index := bundle.IndexName
	for name, tt := range map[string]struct {
		change func(*shelf)
		want   string
	}{
		"another key":       {func(s *shelf) { *s = *stock(t, other) }, "is not believed"},
		"no signature":      {func(s *shelf) { delete(s.files, bundle.IndexSignatureName) }, "404"},
		"index changed":     {func(s *shelf) { s.files[index] = bytes.Replace(s.files[index], []byte("1.2.0"), []byte("9.9.9"), 1) }, "is not believed"},
		"nothing":           {func(s *shelf) { s.files = nil }, "answers 404 Not Found"},
		"huge index":        {func(s *shelf) { s.broken[index] = endless }, "has more than 65536 bytes"},
		"huge signature":    {func(s *shelf) { s.broken[bundle.IndexSignatureName] = endless }, "has more than 65536 bytes"},
		"hangs":             {func(s *shelf) { s.broken[index] = hang("") }, "is too slow, or hangs"},
		"hangs in the text": {func(s *shelf) { s.broken[index] = hang("{") }, "is too slow, or hangs"},
		"redirect": {func(s *shelf) {
			s.broken[index] = http.RedirectHandler("https://127.0.0.1:1/", http.StatusFound).ServeHTTP
		}, "leads from https://"},
		"to plain HTTP": {func(s *shelf) {
			s.broken[index] = http.RedirectHandler("http://127.0.0.1:1/", http.StatusMovedPermanently).ServeHTTP
		}, "elsewhere, where nobody follows"},
		"archive is gone": {func(s *shelf) { delete(s.files, "v-1.2.0.update") }, "answers 404"},
		"archive is cut":  {func(s *shelf) { s.files["v-1.2.0.update"] = []byte(archive[:5]) }, "is not the archive that was signed"},
		"archive changed": {func(s *shelf) { s.files["v-1.2.0.update"] = []byte(strings.ToUpper(archive)) }, "is not the archive that was signed"},
		"archive is long": {func(s *shelf) { s.broken["v-1.2.0.update"] = endless }, "is not the archive that was signed"},
		"archive hangs":   {func(s *shelf) { s.broken["v-1.2.0.update"] = hang("an arch") }, "stopped in the middle"},
		"archive redirects": {func(s *shelf) {
			s.broken["v-1.2.0.update"] = http.RedirectHandler("/elsewhere", http.StatusFound).ServeHTTP
		}, "elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			shelf := stock(t, key)
			tt.change(shelf)
			s, _ := open(t, shelf, key)
			var got bytes.Buffer
			x, err := s.Latest(t.Context())
			if err == nil {
				err = s.Fetch(t.Context(), x, &got)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if took := time.Since(begun); took > 8*time.Second || got.Len() > len(archive)+1 {
				t.Errorf("it took %s and wrote %d bytes", took, got.Len())
			}
		})
	}
}

// TestServersThatAreNotTrusted: nothing is asked of a server that nobody vouches for.
func TestServersThatAreNotTrusted(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	shelf := stock(t, key)
	_, set := open(t, shelf, key)
	set.CAFile = ""
	if _, err := ask(t, set, key).Latest(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be reached") || len(shelf.asked) > 0 {
		t.Errorf("%v, asked %q", err, shelf.asked)
	}
	if _, err := ask(t, lb.Update{Server: "https://127.0.0.1:1/"}, key).Latest(t.Context()); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1 cannot be reached") {
		t.Errorf("nobody is there: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []lb.Update{{}, {Server: "http://x/"}, {Server: "https://x/", CAFile: empty}, {Server: "https://x/", CAFile: empty + ".no"}, {Server: "https://x/", Proxy: "http://[/"}} {
		if _, err := New(bad, key.Public(), Usual()); err == nil {
			t.Errorf("%+v is a server", bad)
		}
	}
}

// TestProxy: the server is reached through the proxy and by no other way.
func TestProxy(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	_, set := open(t, stock(t, key), key)
	asked := ""
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.Host
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer proxy.Close()
	set.Proxy = proxy.URL
	if _, err := ask(t, set, key).Latest(t.Context()); err == nil || "CONNECT "+strings.TrimSuffix(strings.TrimPrefix(set.Server, "https://"), "/vosbed") != asked {
		t.Errorf("%v, the proxy got %q", err, asked)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }

// TestFetchIsGivenUp: by who keeps the archive, and by who asked for it.
func TestFetchIsGivenUp(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	shelf := stock(t, key)
	s, _ := open(t, shelf, key)
	if err := s.Fetch(t.Context(), indexOf(archive), full{}); err == nil || err.Error() != "the disk is full" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	shelf.broken["v-1.2.0.update"] = func(w http.ResponseWriter, r *http.Request) {
		cancel()
		hang("x")(w, r)
	}
	if err := s.Fetch(ctx, indexOf(archive), io.Discard); err == nil {
		t.Error("it came")
	}
}
