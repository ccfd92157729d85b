package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
)

// worthIt is the size in bytes from which a page is compressed.
const worthIt = 1 << 10

// send writes an answer, compressed if the browser wants that. No page holds a secret
// whose length could be told from that: the session's token is in the cookie only.
func send(w http.ResponseWriter, r *http.Request, status int, data []byte) error {
	h := w.Header()
	h.Add("Vary", "Accept-Encoding")
	if len(data) >= worthIt && takesGzip(r.Header.Get("Accept-Encoding")) {
		var b bytes.Buffer
		z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
		if err != nil {
			return err
		}
		if _, err := z.Write(data); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		h.Set("Content-Encoding", "gzip")
		data = b.Bytes()
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, err := w.Write(data)
	return err
}

// takesGzip reads an Accept-Encoding header.
func takesGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		name, weight, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, weighted := strings.CutPrefix(strings.ReplaceAll(weight, " ", ""), "q=")
			n, err := strconv.ParseFloat(q, 64)
			return !weighted || err == nil && n > 0
		}
	}
	return false
}
