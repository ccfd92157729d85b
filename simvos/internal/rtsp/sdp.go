package rtsp

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/vosbed/vosbed/simvos/internal/identity"
	"github.com/vosbed/vosbed/simvos/internal/media"
)

// payloadType is the dynamic RTP payload type of the video.
const payloadType = 96

// control is the control attribute of the only track of the live programme.
const liveTrack = "trackID=0"

// maxTracks bounds the tracks of one publisher.
const maxTracks = 8

var errSDP = errors.New("unusable session description")

// describe returns the session description of the live programme.
func describe(id *identity.Identity, local netip.Addr) ([]byte, error) {
	family, wildcard := "IP4", "0.0.0.0"
	if local.Is6() {
		family, wildcard = "IP6", "::"
	}
	sps, pps := media.SPS(), media.PPS()
	sets := base64.StdEncoding.EncodeToString(sps) + "," + base64.StdEncoding.EncodeToString(pps)
	video := &sdp.MediaDescription{
		MediaName: sdp.MediaName{Media: "video", Protos: []string{"RTP", "AVP"}, Formats: []string{fmt.Sprint(payloadType)}},
		Attributes: []sdp.Attribute{
			sdp.NewAttribute("rtpmap", fmt.Sprintf("%d H264/%d", payloadType, media.ClockRate)),
			sdp.NewAttribute("fmtp", fmt.Sprintf("%d packetization-mode=1;profile-level-id=%X;sprop-parameter-sets=%s", payloadType, sps[1:4], sets)),
			sdp.NewAttribute("framerate", fmt.Sprint(media.Rate)),
			sdp.NewAttribute("control", liveTrack),
		},
	}
	d := sdp.SessionDescription{
		Origin:                sdp.Origin{Username: "-", SessionID: id.Epoch, SessionVersion: 1, NetworkType: "IN", AddressType: family, UnicastAddress: local.WithZone("").String()},
		SessionName:           sdp.SessionName(fmt.Sprintf("simvos %s %d", id.Name, id.ID)),
		ConnectionInformation: &sdp.ConnectionInformation{NetworkType: "IN", AddressType: family, Address: &sdp.Address{Address: wildcard}},
		TimeDescriptions:      []sdp.TimeDescription{{}},
		Attributes:            []sdp.Attribute{sdp.NewAttribute("control", "*"), sdp.NewAttribute("range", "npt=0-")},
		MediaDescriptions:     []*sdp.MediaDescription{video},
	}
	return d.Marshal()
}

// announced returns the URL of each track in the description of a publisher,
// relative to base unless the description makes them absolute (RFC 2326
// section C.1.1).
func announced(body []byte, base *url.URL) ([]string, error) {
	var d sdp.SessionDescription
	if err := d.Unmarshal(body); err != nil {
		return nil, fmt.Errorf("%w: %w", errSDP, err)
	}
	if len(d.MediaDescriptions) == 0 || len(d.MediaDescriptions) > maxTracks {
		return nil, fmt.Errorf("%w: %d tracks, want 1 to %d", errSDP, len(d.MediaDescriptions), maxTracks)
	}
	var out []string
	for _, m := range d.MediaDescriptions {
		control, _ := m.Attribute("control")
		out = append(out, trackURL(base, control))
	}
	return out, nil
}

// trackURL joins a control attribute to the presentation's URL.
func trackURL(base *url.URL, control string) string {
	if strings.Contains(control, "://") {
		if u, err := url.Parse(control); err == nil {
			return trackKey(u)
		}
	}
	if control == "" || control == "*" {
		return trackKey(base)
	}
	return trackKey(base) + "/" + strings.Trim(control, "/")
}

// trackKey is what of a URL identifies a track: path and query. The host is
// left out, as the client may name the server in several ways.
func trackKey(u *url.URL) string {
	key := strings.TrimRight(u.Path, "/")
	if u.RawQuery != "" {
		key += "?" + strings.TrimRight(u.RawQuery, "/")
	}
	return key
}
