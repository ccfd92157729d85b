package support

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"regexp"
)

// removed stands where a secret was.
const removed = "[secret removed]"

// shortest is the length of a secret, in bytes, from which on it is searched for: a
// shorter one would tear holes into ordinary words.
const shortest = 8

// Cleaner removes secrets from texts.
type Cleaner struct {
	known    [][]byte
	suspects []*regexp.Regexp
}

// NewCleaner removes these secrets in all their forms, and what looks like one.
func NewCleaner(secrets [][]byte) *Cleaner {
	c := &Cleaner{suspects: suspects()}
	for _, s := range secrets {
		if s = bytes.TrimSpace(s); len(s) >= shortest {
			c.known = append(c.known, forms(s)...)
		}
	}
	return c
}

// SecretsIn returns what is secret of a file that holds secrets: private keys of PEM, what
// JSON has under a word for one (and, if that is base64, what it stands for), and else all
// of it and each line.
func SecretsIn(file []byte) [][]byte {
	file = bytes.TrimSpace(file)
	switch {
	case bytes.HasPrefix(file, []byte("{")):
		return secretsInJSON(file)
	case bytes.Contains(file, []byte("-----BEGIN ")):
		var out [][]byte
		for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				out = append(out, block.Bytes)
			}
		}
		return out
	}
	return append([][]byte{file}, bytes.Split(file, []byte("\n"))...)
}

func secretsInJSON(file []byte) [][]byte {
	var out [][]byte
	values := regexp.MustCompile(`"(?:hash|secret|password|key|token)": *"([^"]+)"`)
	for _, m := range values.FindAllSubmatch(file, -1) {
		out = append(out, m[1])
		if raw, err := base64.StdEncoding.DecodeString(string(m[1])); err == nil {
			out = append(out, raw)
		}
	}
	return out
}

// suspects are the forms of secrets of this program: private keys, hashes of passwords,
// age's sealed texts, and what follows the words for them.
func suspects() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)`),
		regexp.MustCompile(`\$argon2id\$[^\s"']*`),
		regexp.MustCompile(`(?i)\b(bearer|basic) [A-Za-z0-9._~+/=-]{16,}`),
		regexp.MustCompile(`(?i)__Host-vosbed=[^\s;"']+`),
	}
}

// forms are the ways in which a secret may have been written. Base64 of a longer text
// that holds it starts at one of three places.
func forms(secret []byte) [][]byte {
	hexed := []byte(hex.EncodeToString(secret))
	out := [][]byte{secret, hexed, bytes.ToUpper(hexed)}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 {
			text := enc.EncodeToString(append(make([]byte, shift), secret...))
			first := []int{0, 2, 3}[shift]    // digits that also depend on what is before it
			last := (shift + len(secret)) % 3 // 0: no digit depends on what comes after it
			end := len(text) - min(last, 1)   // else the last one does
			if end-first >= shortest {
				out = append(out, []byte(text[first:end]))
			}
		}
	}
	return out
}

// Clean returns the text without secrets, and in how many places it held one.
func (c *Cleaner) Clean(data []byte) (clean []byte, places int) {
	for _, form := range c.known {
		if n := bytes.Count(data, form); n > 0 {
			data, places = bytes.ReplaceAll(data, form, []byte(removed)), places+n
		}
	}
	for _, s := range c.suspects {
		if n := len(s.FindAllIndex(data, -1)); n > 0 {
			data, places = s.ReplaceAll(data, []byte(removed)), places+n
		}
	}
	return data, places
}
