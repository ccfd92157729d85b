package mpegts

import "encoding/binary"

// Table ids.
const (
	tablePAT = 0x00
	tablePMT = 0x02
	tableSDT = 0x42
)

// provider is the service provider in the SDT.
const provider = "vosbed"

// maxServiceName keeps the SDT within one packet.
const maxServiceName = 100

// section frames the body of a long-form section (13818-1 section 2.4.4):
// header, id, version 0, number 0 of 0, checksum. reserved is 0x30 for tables
// of MPEG and 0x70 for those of DVB.
func section(table, reserved byte, id uint16, body []byte) []byte {
	length := 5 + len(body) + 4
	b := []byte{table, 0x80 | reserved | byte(length>>8), byte(length)}
	b = binary.BigEndian.AppendUint16(b, id)
	b = append(b, 0xc1, 0, 0)
	b = append(b, body...)
	return binary.BigEndian.AppendUint32(b, crc32MPEG(b))
}

// pat names the programme's map.
func pat(id uint16) []byte {
	return section(tablePAT, 0x30, id, []byte{
		0, programNumber, 0xe0 | pidPMT>>8, pidPMT & 0xff,
	})
}

// pmt names the elementary streams: video with the PCR, and the markers.
func pmt() []byte {
	body := []byte{0xe0 | pidVideo>>8, pidVideo & 0xff, 0xf0, 0}
	body = append(body, streamH264, 0xe0|pidVideo>>8, pidVideo&0xff, 0xf0, 0)
	body = append(body, streamPrivate, 0xe0|pidKLV>>8, pidKLV&0xff, 0xf0, 6, 0x05, 4)
	body = append(body, registrationKLVA...)
	return section(tablePMT, 0x30, programNumber, body)
}

// sdt names the service after the server (ETSI EN 300 468 section 5.2.3).
func sdt(name string, id uint16) []byte {
	service := "simvos-" + name
	service = service[:min(len(service), maxServiceName)]
	d := []byte{0x01, byte(len(provider))}
	d = append(d, provider...)
	d = append(d, byte(len(service)))
	d = append(d, service...)
	body := binary.BigEndian.AppendUint16(nil, id)
	body = append(body, 0xff, 0, programNumber, 0xfc)
	length := len(d) + 2
	body = append(body, 0x80|byte(length>>8), byte(length), 0x48, byte(len(d)))
	return section(tableSDT, 0x70, id, append(body, d...))
}

// crc32MPEG is the checksum of sections (13818-1 annex A): polynomial
// 0x04c11db7, not reflected. Sections are made once, so no table is worth it.
func crc32MPEG(b []byte) uint32 {
	crc := uint32(0xffffffff)
	for _, c := range b {
		crc ^= uint32(c) << 24
		for range 8 {
			if crc&0x80000000 != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}
