package simvos_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/internal/testenv"
	"github.com/vosbed/vosbed/simvos/control"
)

// tool runs a program in the client's namespace, for at most as long as a test waits
// for anything, and returns what it printed.
func (l *lab) tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := testenv.RequireTool(t, name)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, l.client.Do(cmd.Start))
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// ffprobe probes a URL and checks that its video is the node's.
func (l *lab) ffprobe(t *testing.T, url string, args ...string) string {
	t.Helper()
	fixed := []string{"-hide_banner", "-v", "error", "-show_entries", "stream=codec_name,profile,width,height,r_frame_rate:program_tags=service_name"}
	out := l.tool(t, "ffprobe", append(append(fixed, args...), url)...)
	for _, want := range []string{"codec_name=h264", "profile=Constrained Baseline", "width=128", "height=64", "r_frame_rate=25/1"} {
		if !strings.Contains(out, want) {
			t.Errorf("ffprobe %s: no %s in\n%s", url, want, out)
		}
	}
	return out
}

func TestTransportStreamForFFprobe(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for _, url := range []string{
		"tcp://192.168.94.110:61000",
		"http://192.168.94.110:8080/live.ts",
		"http://[fd00:94::110]:8080/live.ts",
	} {
		t.Run(url, func(t *testing.T) {
			out := l.ffprobe(t, url, "-analyzeduration", "1000000")
			for _, want := range []string{"codec_name=klv", "service_name=simvos-HT1"} {
				if !strings.Contains(out, want) {
					t.Errorf("no %s in\n%s", want, out)
				}
			}
		})
	}
}

// TestWrongSourceStarvesStrictPlayers shows why the source matters: a player
// that checks it gets nothing, while RTSP itself goes well.
func TestWrongSourceStarvesStrictPlayers(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.fault(t, control.Fault{Kind: control.WrongSource})
	path := testenv.RequireTool(t, "ffprobe")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, path, "-v", "quiet", "-show_entries", "stream=width,r_frame_rate",
		"-rtsp_transport", "udp", "-rtsp_flags", "filter_src", "rtsp://192.168.94.110/live")
	cmd.Stdout = &out
	must(t, l.client.Do(cmd.Start))
	// Three seconds of the programme: one that plays says so after a good second.
	eventually(t, "media for the player", func() bool {
		return l.status(t).Client(clientIP, control.ProtoRTSPPlay).SentPackets > 250
	})
	cancel()
	if err := cmd.Wait(); err == nil && strings.Contains(out.String(), "25/1") {
		t.Errorf("a strict player plays from the wrong source:\n%s", out.String())
	}
	if c := l.status(t).Client(clientIP, control.ProtoRTSPPlay); c.Sessions != 1 {
		t.Errorf("ledger %+v, want one session", c)
	}
}

func TestRTSPForFFprobe(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for name, args := range map[string][]string{
		"udp strict source": {"-rtsp_transport", "udp", "-rtsp_flags", "filter_src"},
		"tcp":               {"-rtsp_transport", "tcp"},
	} {
		for _, to := range []string{"192.168.94.110", "[fd00:94::110]", "192.168.94.115"} {
			t.Run(name+" "+to, func(t *testing.T) {
				l.ffprobe(t, "rtsp://"+to+"/live", args...)
			})
		}
	}
}

// TestDecode lets ffmpeg decode the stream: it must find nothing wrong, and
// the pictures must show the server's id.
func TestDecode(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for name, input := range map[string][]string{
		"rtsp":   {"-rtsp_transport", "udp", "-rtsp_flags", "filter_src", "-i", "rtsp://192.168.94.110/live"},
		"rtmp":   {"-analyzeduration", "1000000", "-i", "rtmp://192.168.94.110/live/stream"},
		"ts tcp": {"-analyzeduration", "1000000", "-i", "tcp://192.168.94.110:61000"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "out.yuv")
			args := append([]string{"-hide_banner", "-nostdin", "-v", "warning"}, input...)
			args = append(args, "-map", "0:v", "-frames:v", "30", "-f", "rawvideo", "-pix_fmt", "yuv420p", file)
			if out := l.tool(t, "ffmpeg", args...); out != "" {
				t.Errorf("ffmpeg complains:\n%s", out)
			}
			raw, err := os.ReadFile(file)
			must(t, err)
			const picture = 128 * 64 * 3 / 2
			if len(raw) != 30*picture {
				t.Fatalf("%d bytes of pictures, want 30 of %d", len(raw), picture)
			}
			first, last := code(raw), code(raw[29*picture:])
			if first>>16 != 115 || last>>16 != 115 {
				t.Errorf("the pictures show the ids %d and %d, want 115", first>>16, last>>16)
			}
			if diff := last - first; diff < 20 || diff > 30 {
				t.Errorf("the counter went on by %d in 30 frames", diff)
			}
		})
	}
}

// code reads the pattern of black and white macroblocks in a picture.
func code(luma []byte) uint32 {
	var v uint32
	for i := range 32 {
		x, y := 16*(i%8)+8, 16*(i/8)+8
		v <<= 1
		if luma[y*128+x] > 128 {
			v |= 1
		}
	}
	return v
}

func TestRTSPPublishByFFmpeg(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	source := []string{"-hide_banner", "-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=128x64:rate=25", "-t", "2", "-c:v", "mpeg4", "-f", "rtsp"}
	var before control.Counters
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l.tool(t, "ffmpeg", append(source, "-rtsp_transport", transport, "rtsp://192.168.94.110/in/one")...)
			eventually(t, "the session to end", func() bool {
				return l.status(t).Client(clientIP, control.ProtoRTSPRecord).Active == 0
			})
			c := l.status(t).Client(clientIP, control.ProtoRTSPRecord)
			if c.Sessions != before.Sessions+1 {
				t.Errorf("%d sessions, want one more than %d", c.Sessions, before.Sessions)
			}
			if got := c.ReceivedPackets - before.ReceivedPackets; got < 45 || c.Lost != 0 || c.Stray != 0 {
				t.Errorf("%d RTP packets received, %d lost, %d stray, want about 50 and none", got, c.Lost, c.Stray)
			}
			before = c
		})
	}
}

func TestRTMPForFFprobe(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for _, to := range []string{"192.168.94.110", "[fd00:94::110]"} {
		t.Run(to, func(t *testing.T) {
			l.ffprobe(t, "rtmp://"+to+"/live/stream", "-analyzeduration", "1000000")
		})
	}
	if c := l.status(t).Client(clientIP, control.ProtoRTMPPlay); c.Sessions != 1 || c.SentPackets == 0 {
		t.Errorf("ledger %+v, want one session and frames", c)
	}
}

func TestRTMPPublishByFFmpeg(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.tool(t, "ffmpeg", "-hide_banner", "-nostdin", "-v", "error",
		"-analyzeduration", "1000000", "-i", "tcp://192.168.94.110:61000", "-map", "0:v", "-t", "2", "-c:v", "copy", "-f", "flv", "rtmp://192.168.94.110/in/one")
	eventually(t, "the session to end", func() bool {
		return l.status(t).Client(clientIP, control.ProtoRTMPRecord).Active == 0
	})
	c := l.status(t).Client(clientIP, control.ProtoRTMPRecord)
	if c.Sessions != 1 || c.ReceivedPackets < 48 || c.ReceivedPackets > 53 {
		t.Errorf("ledger %+v, want one session of 50 frames", c)
	}
}
