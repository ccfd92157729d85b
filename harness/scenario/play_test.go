package scenario_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/harness/scenario"
)

const plays = `
name: t
requires: [ffprobe, ffmpeg]
steps:
  - parallel:
      - play: {from: clients, player: ffprobe, url: "rtsp://${vip.traffic}/live", strict: true}
      - play: {from: clients, player: ffmpeg, url: "rtmp://${vip.traffic}/in", publish: true, duration: 2s}
      - play: {from: clients, player: ffmpeg, url: "udp://${vip.traffic}:61002", publish: true}
      - play: {from: clients, player: ffmpeg, url: "udp://${vip6.traffic}:61001", strict: true}
expect: [{name: e, metric: played.min, equals: 1}]
mutants:
  - {name: m, change: {faults: [{kind: wrong-source, target: HT1}]}, must_fail: e}
`

func TestMistakesOfPlays(t *testing.T) {
	if _, err := load(t, plays); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"not required", "[ffprobe, ffmpeg]", "[ffprobe]", "add it to requires"},
		{"unknown requirement", "[ffprobe, ffmpeg]", "[ffprobe, ffmpeg, ffmeg]", `unknown requirement "ffmeg"`},
		{"player", "player: ffprobe", "player: vlc", `unknown player "vlc"`},
		{"a server", "from: clients, player: ffprobe", "from: HT1, player: ffprobe", "HT1 is of kind simvos"},
		{"unknown node", "from: clients, player: ffprobe", "from: client, player: ffprobe", `did you mean "clients"`},
		{"an option as URL", `"rtsp://${vip.traffic}/live"`, "-version", "a player plays"},
		{"a file", `"rtsp://${vip.traffic}/live"`, `"file:///etc/passwd"`, "a player plays"},
		{"unknown VIP", `"rtsp://${vip.traffic}/live"`, `"rtsp://${vip.trafic}/live"`, "names nothing"},
		{"transport", "strict: true", "transport: sctp", `unknown transport "sctp"`},
		{"transport of RTMP", "publish: true", "transport: tcp", "only RTSP"},
		{"strict over TCP", "strict: true", "strict: true, transport: tcp", "over UDP"},
		{"strict over TCP without RTSP", `"rtsp://${vip.traffic}/live"`, `"tcp://${vip.traffic}:61000"`, "over UDP"},
		{"no port", `:61002"`, `"`, "udp://address:port"},
		{"an option of the player", `:61002"`, `:61002?localport=1"`, "udp://address:port"},
		{"transport of MPEG-TS", `:61001", strict`, `:61001", transport: udp, strict`, "only RTSP"},
		{"strict publisher", `:61002", publish`, `:61002", strict: true, publish`, "that is played"},
		{"ffprobe publishes", "strict: true", "publish: true", "ffmpeg publishes"},
		{"endless", "duration: 2s", "duration: 1h", "loads are bounded"},
		{"endless player", "strict: true", "timeout: 1h", "loads are bounded"},
		{"endless film", "strict: true", "frames: 1000000", "loads are bounded"},
		{"fault of a mutant", "kind: wrong-source, target: HT1", "kind: wrong-source, target: lb1", "needs a simvos node"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, strings.Replace(plays, tt.old, tt.new, 1))
			if err == nil || !scenario.IsMistake(err) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestPlayDefaults(t *testing.T) {
	got := scenario.PlayStep{URL: "rtsp://192.168.94.110/live", Player: "ffprobe"}.WithDefaults()
	want := scenario.PlayStep{
		URL: "rtsp://192.168.94.110/live", Player: "ffprobe", Transport: "udp", Frames: 25, Duration: 3 * time.Second,
		Timeout: 20 * time.Second, Service: "rtsp", Metric: "played",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMutantsBeginWithTheirFaults(t *testing.T) {
	s, err := load(t, plays)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := s.Mutate("m")
	if err != nil || len(m.Steps) != len(s.Steps)+1 || m.Steps[0].Fault == nil || m.Steps[0].Fault.Target != "HT1" {
		t.Errorf("steps %+v, error %v, want the fault first", m.Steps, err)
	}
}
