// Package updateserver asks a web server for a newer version of the appliance (guide
// 9.4.1). The server is trusted for nothing but bytes: what it says counts if the key of
// the releases has signed it, and what it sends is verified once more by whoever installs
// it. It is asked only when somebody wants that, never followed elsewhere, and bounded in
// bytes and time.
package updateserver

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/bundle"
	"github.com/vosbed/vosbed/internal/minisign"
)

// Times bound what a server may take.
type Times struct {
	Answer time.Duration // for a connection, and until it answers
	Index  time.Duration // for the whole index
	Pause  time.Duration // between two parts of an archive
	Whole  time.Duration // for a whole archive
}

// Usual are the times of a server that is slow and not out of order.
func Usual() Times {
	return Times{Answer: 10 * time.Second, Index: 20 * time.Second, Pause: 30 * time.Second, Whole: 12 * time.Minute}
}

// maxCA bounds the file of certificates in bytes.
const maxCA = 1 << 20

// Server is an update server. Close it after use.
type Server struct {
	base  *url.URL
	http  *http.Client
	key   minisign.PublicKey
	times Times
}

// New prepares for asking; nothing is sent.
func New(s lb.Update, key minisign.PublicKey, times Times) (*Server, error) {
	base, err := url.Parse(s.Server)
	if err != nil || base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%q is not the address of an update server", s.Server)
	}
	trusted, err := authorities(s.CAFile)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{
		DialContext:     (&net.Dialer{Timeout: times.Answer}).DialContext,
		TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: times.Answer, ResponseHeaderTimeout: times.Answer,
		MaxResponseHeaderBytes: 16 << 10, DisableCompression: true, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1,
	}
	if s.Proxy != "" {
		proxy, err := url.Parse(s.Proxy)
		if err != nil {
			return nil, fmt.Errorf("%q is not the address of a proxy", s.Proxy)
		}
		t.Proxy = http.ProxyURL(proxy)
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Server{base: base, http: &http.Client{Transport: t, CheckRedirect: stay}, key: key, times: times}, nil
}

// Close ends the connections.
func (s *Server) Close() { s.http.CloseIdleConnections() }

// authorities are the certificates that vouch for servers, nil = the system's.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the certificates that vouch for the update server: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxCA))
	if err != nil {
		return nil, fmt.Errorf("read the certificates that vouch for the update server: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate (PEM) that could vouch for the update server", file)
	}
	return pool, nil
}

// Latest asks for the index.
func (s *Server) Latest(ctx context.Context) (bundle.Index, error) {
	ctx, cancel := context.WithTimeout(ctx, s.times.Index)
	defer cancel()
	file, err := s.small(ctx, bundle.IndexName)
	if err != nil {
		return bundle.Index{}, err
	}
	signature, err := s.small(ctx, bundle.IndexSignatureName)
	if err != nil {
		return bundle.Index{}, err
	}
	x, err := bundle.OpenIndex(file, signature, s.key)
	if err != nil {
		return bundle.Index{}, fmt.Errorf("what %s says is not believed: %w", s.base.Host, err)
	}
	return x, nil
}

// small is a file that is no larger than an index.
func (s *Server) small(ctx context.Context, name string) ([]byte, error) {
	body, err := s.get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	data, err := io.ReadAll(io.LimitReader(body, bundle.MaxIndex+1))
	if err != nil {
		return nil, s.late(ctx, fmt.Errorf("read %s of the update server: %w", name, err))
	}
	if len(data) > bundle.MaxIndex {
		return nil, fmt.Errorf("%s of the update server has more than %d bytes", name, bundle.MaxIndex)
	}
	return data, nil
}

// get asks for a file of the folder.
func (s *Server) get(ctx context.Context, name string) (io.ReadCloser, error) {
	at := s.base.JoinPath(name).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask the update server: %w", err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, s.late(ctx, fmt.Errorf("the update server %s cannot be reached: %w", s.base.Host, err))
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	_ = resp.Body.Close()
	if resp.StatusCode/100 == 3 {
		return nil, fmt.Errorf("the update server leads from %s elsewhere, where nobody follows it: set node.update.server to where the files are", at)
	}
	return nil, fmt.Errorf("the update server answers %d %s for %s", resp.StatusCode, http.StatusText(resp.StatusCode), at)
}

// late says of an error after the time was over that it is.
func (s *Server) late(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the update server %s is too slow, or hangs", s.base.Host)
	}
	return err
}

// Fetch writes the archive of an index, and fails unless it is the one that was signed
// there.
func (s *Server) Fetch(ctx context.Context, x bundle.Index, to io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, s.times.Whole)
	defer cancel()
	body, err := s.get(ctx, x.File)
	if err != nil {
		return err
	}
	defer body.Close()
	hash := sha256.New()
	from := &brisk{from: body, within: s.times.Pause, cancel: cancel}
	n, err := io.Copy(io.MultiWriter(to, hash), io.LimitReader(from, x.Size+1))
	switch {
	case from.hung:
		return fmt.Errorf("the update server %s stopped in the middle of %s", s.base.Host, x.File)
	case from.err != nil:
		return s.late(ctx, fmt.Errorf("%s did not come wholly: %w", x.File, from.err))
	case err != nil:
		return err
	case n != x.Size || hex.EncodeToString(hash.Sum(nil)) != x.SHA256:
		return fmt.Errorf("%s is not the archive that was signed: it has been changed, or is damaged", x.File)
	}
	return nil
}

// brisk ends a body that pauses for too long.
type brisk struct {
	from   io.Reader
	within time.Duration
	cancel context.CancelFunc
	hung   bool
	err    error // of reading
}

// Read reads on.
func (b *brisk) Read(p []byte) (int, error) {
	alarm := time.AfterFunc(b.within, b.cancel)
	n, err := b.from.Read(p)
	b.hung = !alarm.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
