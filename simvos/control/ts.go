package control

import "strings"

// TSPacketSize is the length of a transport stream packet in bytes.
const TSPacketSize = 188

// TSMarkerPID is the PID of the markers in a transport stream of simvos: one
// KLV unit (SMPTE 336M) per frame, each within one packet.
const TSMarkerPID = 0x101

// TSMarkerKey is the KLV key of a marker: a universal label in the class for
// experiments (SMPTE 298M).
const TSMarkerKey = "\x06\x0e\x2b\x34\x01\x01\x01\x01\x0f\x00\x00\x00VOS\x01"

// MarkerInTS finds the marker in one transport stream packet.
func MarkerInTS(packet []byte) (Marker, bool) {
	if len(packet) != TSPacketSize || packet[0] != 0x47 {
		return Marker{}, false
	}
	if pid := int(packet[1]&0x1f)<<8 | int(packet[2]); pid != TSMarkerPID {
		return Marker{}, false
	}
	at := strings.Index(string(packet), TSMarkerKey)
	if at < 0 {
		return Marker{}, false
	}
	at += len(TSMarkerKey) + 1
	if at > len(packet) {
		return Marker{}, false
	}
	m, err := DecodeMarker(packet[at:])
	return m, err == nil
}
