package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Bounds on an answer.
const (
	maxBody    = 64 << 10
	maxHeader  = 64 << 10
	maxShown   = 256 // bytes kept in a verdict of each thing that the server said
	maxInterim = 4   // 1xx answers before the real one
)

// negotiate sends one GET over conn and judges the answer.
func negotiate(ctx context.Context, conn net.Conn, v *lb.Verdict, addr netip.Addr, c lb.HealthCheck) error {
	host := c.Host
	if host == "" {
		host = netip.AddrPortFrom(addr, c.Port).String()
	}
	v.Sent = fmt.Sprintf("GET %s HTTP/1.1 (Host: %s)", c.Path, host)
	if c.Scheme == lb.HTTPS {
		secure, err := handshake(ctx, conn, v, c.Host)
		if err != nil {
			return err
		}
		conn = secure
	}
	request, err := newRequest(ctx, c.Path, host)
	if err != nil {
		return stageError{"making the request", err}
	}
	if err := request.Write(conn); err != nil {
		return stageError{"sending the request", err}
	}
	return answer(conn, request, v, c)
}

func newRequest(ctx context.Context, path, host string) (*http.Request, error) {
	target, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Host = host
	request.URL.Host = host
	request.Close = true
	request.Header.Set("User-Agent", "vosbed-health")
	return request, nil
}

// handshake starts TLS. The certificate is recorded, not verified.
func handshake(ctx context.Context, conn net.Conn, v *lb.Verdict, host string) (net.Conn, error) {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if _, err := netip.ParseAddr(name); err == nil {
		name = "" // addresses are no server names (RFC 6066 section 3)
	}
	secure := tls.Client(conn, &tls.Config{
		InsecureSkipVerify: true, // VOS has its own certificate; it is shown instead
		ServerName:         name,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
	})
	if err := secure.HandshakeContext(ctx); err != nil {
		if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
			err = errors.New("the server does not speak TLS on this port")
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("the server closed the connection")
		}
		return nil, stageError{"negotiating TLS", err}
	}
	v.TLS = describeTLS(secure.ConnectionState(), v.At)
	return secure, nil
}

// describeTLS names version, cipher and certificate for people.
func describeTLS(s tls.ConnectionState, now time.Time) string {
	text := tls.VersionName(s.Version) + " " + tls.CipherSuiteName(s.CipherSuite)
	if len(s.PeerCertificates) == 0 {
		return text
	}
	return text + ", " + describeCertificate(s.PeerCertificates[0], now)
}

func describeCertificate(cert *x509.Certificate, now time.Time) string {
	word := "expires"
	if now.After(cert.NotAfter) {
		word = "EXPIRED"
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("certificate %q %s %s, SPKI sha256:%s", clipped(cert.Subject.String()), word,
		cert.NotAfter.UTC().Format(time.DateOnly), base64.StdEncoding.EncodeToString(sum[:]))
}

// answer reads and judges the response.
func answer(conn net.Conn, request *http.Request, v *lb.Verdict, c lb.HealthCheck) error {
	limited := &io.LimitedReader{R: conn, N: maxHeader}
	reader := bufio.NewReader(limited)
	if _, err := reader.Peek(1); err != nil {
		return noAnswer(err)
	}
	v.FirstByte = time.Since(v.At)
	response, err := readResponse(reader, request)
	if err != nil {
		if limited.N <= 0 {
			err = errors.New("the header is longer than 64 KiB")
		}
		return noAnswer(err)
	}
	defer func() { _ = response.Body.Close() }()
	v.Status = response.StatusCode
	limited.N += 2*maxBody + maxHeader // room for the body, chunk framing included
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	v.Body = shown(body)
	v.Failed = judge(response, body, c)
	if err != nil && v.Failed == "" {
		return stageError{"reading the body", brokenOff(err)}
	}
	if err != nil {
		v.Failed += " (" + explain(stageError{"reading the body", brokenOff(err)}, c.Timeout) + ")"
	}
	return nil
}

func brokenOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("the answer broke off")
	}
	return err
}

func noAnswer(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("the server closed the connection")
	}
	return stageError{"waiting for the answer", err}
}

// readResponse skips interim answers (RFC 9110 section 15.2).
func readResponse(reader *bufio.Reader, request *http.Request) (*http.Response, error) {
	for range maxInterim {
		response, err := http.ReadResponse(reader, request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
		if err := response.Body.Close(); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("nothing but interim answers")
}

// judge returns the assertion that failed, "" if none: status and body must match.
func judge(response *http.Response, body []byte, c lb.HealthCheck) string {
	got := fmt.Sprintf("got %d `%s`", response.StatusCode, shown(body))
	if !slices.Contains(c.Statuses, response.StatusCode) {
		if to := response.Header.Get("Location"); to != "" && response.StatusCode/100 == 3 {
			got = fmt.Sprintf("got %d, a redirect to %s that is not followed", response.StatusCode, clipped(to))
		}
		return got + ", wanted status " + words(c.Statuses)
	}
	text := string(body[:min(len(body), maxBody)])
	switch c.Match {
	case lb.MatchEquals:
		if len(body) > maxBody || strings.TrimRightFunc(text, unicode.IsSpace) != c.Expect {
			return fmt.Sprintf("%s, wanted body equal to `%s`", got, c.Expect)
		}
	case lb.MatchContains:
		if !strings.Contains(text, c.Expect) {
			return fmt.Sprintf("%s, wanted body to contain `%s`", got, c.Expect)
		}
	case lb.MatchAny:
	}
	return ""
}

func words(statuses []int) string {
	list := make([]string, len(statuses))
	for i, s := range statuses {
		list[i] = strconv.Itoa(s)
	}
	return strings.Join(list, " or ")
}

// shown is the beginning of a body, safe to print.
func shown(body []byte) string {
	return clipped(string(bytes.TrimRightFunc(body, unicode.IsSpace)))
}

// clipped is the beginning of what a server said, safe to print.
func clipped(s string) string {
	if len(s) > maxShown {
		return printable(s[:maxShown]) + "…"
	}
	return printable(s)
}

// printable replaces what a terminal or a page would act on.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}
