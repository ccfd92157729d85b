package directory

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
)

// Codes and attributes of RADIUS (RFC 2865, RFC 2869 section 5.14).
const (
	accessRequest   = 1
	accessAccept    = 2
	accessReject    = 3
	accessChallenge = 11

	attrUserName             = 1
	attrUserPassword         = 2
	attrServiceType          = 6
	attrFilterID             = 11
	attrClass                = 25
	attrNASIdentifier        = 32
	attrNASPortType          = 61
	attrMessageAuthenticator = 80
)

// Sizes in bytes.
const (
	headerLen   = 20
	signLen     = 16 // of an authenticator
	mostPacket  = 4096
	mostRADIUS  = 128 // of a password
	mostAttrLen = 253 // of a value
)

// Why an answer is not believed.
var (
	errNoAnswer = errors.New("it is no answer to this request")
	errForged   = errors.New("an answer was not signed with our secret: is the secret the same on both sides?")
	errUnsigned = errors.New("an answer came without Message-Authenticator and could be anybody's (CVE-2024-3596): let the server send it, or update the server")
)

// attribute is one of a packet.
type attribute struct {
	kind  byte
	value []byte
}

// login is what an Access-Request tells of a person, and of the node that asks.
type login struct{ user, password, node string }

// request is an Access-Request by PAP. Its Message-Authenticator comes first, as the
// answer to CVE-2024-3596 wants it.
func request(id byte, auth [signLen]byte, secret []byte, who login) []byte {
	attrs := []attribute{
		{attrMessageAuthenticator, make([]byte, signLen)},
		{attrUserName, []byte(who.user)},
		{attrUserPassword, hide(who.password, auth, secret)},
		{attrServiceType, []byte{0, 0, 0, 7}}, // NAS Prompt: an administrative login
		{attrNASPortType, []byte{0, 0, 0, 5}}, // Virtual
	}
	if who.node != "" { // no attribute may be empty (RFC 2865 section 5)
		attrs = append(attrs, attribute{attrNASIdentifier, []byte(who.node)})
	}
	p := append([]byte{accessRequest, id, 0, 0}, auth[:]...)
	for _, a := range attrs {
		p = append(p, a.kind, byte(len(a.value)+2))
		p = append(p, a.value...)
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[headerLen+2:], sign(p, secret))
	return p
}

// hide is the password as RFC 2865 section 5.2 hides it.
func hide(password string, auth [signLen]byte, secret []byte) []byte {
	out := make([]byte, (len(password)+signLen-1)/signLen*signLen)
	copy(out, password)
	before := auth[:]
	for at := 0; at < len(out); at += signLen {
		sum := md5.New()
		sum.Write(secret)
		sum.Write(before)
		for i, b := range sum.Sum(nil) {
			out[at+i] ^= b
		}
		before = out[at : at+signLen]
	}
	return out
}

// sign is the Message-Authenticator of a packet in which it is zero.
func sign(packet, secret []byte) []byte {
	mac := hmac.New(md5.New, secret)
	mac.Write(packet)
	return mac.Sum(nil)
}

// answer reads what came back for a request, and believes it only if it is signed twice:
// by the response authenticator, which MD5 alone does not protect any more, and by a
// Message-Authenticator.
func answer(packet, request, secret []byte) (code byte, attrs []attribute, err error) {
	if len(packet) < headerLen || len(packet) > mostPacket || packet[1] != request[1] {
		return 0, nil, errNoAnswer
	}
	length := int(binary.BigEndian.Uint16(packet[2:]))
	if length < headerLen || length > len(packet) {
		return 0, nil, errNoAnswer
	}
	packet = bytes.Clone(packet[:length]) // what follows is padding
	attrs, signedAt, err := attributes(packet)
	if err != nil {
		return 0, nil, err
	}
	theirs := [signLen]byte(packet[4:headerLen])
	copy(packet[4:], request[4:headerLen])
	sum := md5.New()
	sum.Write(packet)
	sum.Write(secret)
	if !hmac.Equal(sum.Sum(nil), theirs[:]) {
		return 0, nil, errForged
	}
	if signedAt == 0 {
		return 0, nil, errUnsigned
	}
	signature := [signLen]byte(packet[signedAt : signedAt+signLen])
	clear(packet[signedAt : signedAt+signLen])
	if !hmac.Equal(sign(packet, secret), signature[:]) {
		return 0, nil, errForged
	}
	return packet[0], attrs, nil
}

// attributes splits a packet; signedAt is where its one Message-Authenticator is, 0 = it
// has none.
func attributes(packet []byte) (attrs []attribute, signedAt int, err error) {
	for at := headerLen; at < len(packet); {
		if len(packet)-at < 2 || packet[at+1] < 2 || int(packet[at+1]) > len(packet)-at {
			return nil, 0, fmt.Errorf("%w: attribute at byte %d is damaged", errNoAnswer, at)
		}
		a := attribute{packet[at], bytes.Clone(packet[at+2 : at+int(packet[at+1])])}
		if a.kind == attrMessageAuthenticator {
			if signedAt != 0 || len(a.value) != signLen {
				return nil, 0, fmt.Errorf("%w: its Message-Authenticator is damaged", errNoAnswer)
			}
			signedAt = at + 2
		}
		attrs = append(attrs, a)
		at += int(packet[at+1])
	}
	return attrs, signedAt, nil
}
