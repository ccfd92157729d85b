package step

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/scenario"
)

func TestPlayerArgv(t *testing.T) {
	const show = " -v error -select_streams v -count_packets -read_intervals %+#25" +
		" -show_entries stream=codec_name,profile,width,height,r_frame_rate,nb_read_packets"
	const source = " -nostdin -v warning -re -f lavfi -i testsrc=size=128x64:rate=25 -t 2.500 -progress pipe:1" +
		" -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -pix_fmt yuv420p"
	for name, tt := range map[string]struct {
		play scenario.PlayStep
		want string
	}{
		"strict": {
			scenario.PlayStep{Player: "ffprobe", URL: "rtsp://v/live", Strict: true},
			"ffprobe -hide_banner" + show + " -rtsp_transport udp -rtsp_flags filter_src rtsp://v/live",
		},
		"transport stream": {
			scenario.PlayStep{Player: "ffprobe", URL: "tcp://v:61000"},
			"ffprobe -hide_banner" + show + " -analyzeduration 1000000 tcp://v:61000",
		},
		"transport stream over UDP": {
			scenario.PlayStep{Player: "ffprobe", URL: "udp://0.0.0.0:6001?sources=192.0.2.1"},
			"ffprobe -hide_banner" + show + " -analyzeduration 1000000 udp://0.0.0.0:6001?sources=192.0.2.1",
		},
		"push": {
			scenario.PlayStep{Player: "ffmpeg", URL: "udp://v:61002", Publish: true, Duration: 2500 * time.Millisecond},
			"ffmpeg -hide_banner" + source + " -f mpegts udp://v:61002?pkt_size=1316",
		},
		"decode": {
			scenario.PlayStep{Player: "ffmpeg", URL: "rtsp://v/live", Transport: "tcp", Frames: 30},
			"ffmpeg -hide_banner -nostdin -v warning -rtsp_transport tcp -i rtsp://v/live -map 0:v -frames:v 30 -progress pipe:1 -f null -",
		},
		"record": {
			scenario.PlayStep{Player: "ffmpeg", URL: "rtsp://v/in", Publish: true, Duration: 2500 * time.Millisecond},
			"ffmpeg -hide_banner" + source + " -f rtsp -rtsp_transport udp rtsp://v/in",
		},
		"publish": {
			scenario.PlayStep{Player: "ffmpeg", URL: "rtmp://v/in", Publish: true, Duration: 2500 * time.Millisecond},
			"ffmpeg -hide_banner" + source + " -f flv rtmp://v/in",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(strings.Fields(tt.want), playerArgv(tt.play.WithDefaults())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestContent(t *testing.T) {
	const video = "codec_name=h264\nprofile=Constrained Baseline\nwidth=128\nheight=64\nr_frame_rate=25/1\n"
	probe := scenario.PlayStep{Player: "ffprobe", URL: "rtsp://v/live"}
	decode := scenario.PlayStep{Player: "ffmpeg", URL: "rtsp://v/live", Frames: 30}
	publish := scenario.PlayStep{Player: "ffmpeg", URL: "rtmp://v/in", Publish: true, Duration: 2 * time.Second}
	for name, tt := range map[string]struct {
		play scenario.PlayStep
		end  lab.Ended
		want string
	}{
		"probed":              {probe, lab.Ended{Out: video + "nb_read_packets=25\n"}, ""},
		"starved":             {probe, lab.Ended{Out: strings.Replace(video, "25/1", "90000/1", 1) + "nb_read_packets=N/A\n"}, "no r_frame_rate=25/1"},
		"cut short":           {probe, lab.Ended{Out: video + "nb_read_packets=7\n"}, "7 of 25 packets"},
		"another stream":      {probe, lab.Ended{Out: "codec_name=mpeg2video\n"}, "no codec_name=h264"},
		"late":                {probe, lab.Ended{Out: video, Failure: errors.New("did not end within 8s")}, "did not end within 8s"},
		"decoded":             {decode, lab.Ended{Out: "frame=1\nprogress=continue\nframe=30\nprogress=end\n"}, ""},
		"too few":             {decode, lab.Ended{Out: "frame=29\nprogress=end\n"}, "29 of 30 frames"},
		"complaint":           {decode, lab.Ended{Out: "frame=30\n", Err: "error while decoding MB 3 1\n"}, "it complains"},
		"published":           {publish, lab.Ended{Out: "frame=50\n", Err: "Failed to update header\n"}, ""},
		"published too few":   {publish, lab.Ended{Out: "frame=12\n"}, "12 of 50 frames"},
		"nothing said at all": {publish, lab.Ended{}, "0 of 50 frames"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := content(tt.play.WithDefaults(), tt.end); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	if got := tail("1\n2\n3\n4\n5\n"); got != ": 2; 3; 4; 5" {
		t.Errorf("got %q", got)
	}
	if got := tail("\n"); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
