package step

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/scenario"
)

// framesPerSecond is the rate of what simulated servers send and of what ffmpeg
// publishes here.
const framesPerSecond = 25

// play runs a real player and records whether it was content.
func (r *Runner) play(ctx context.Context, st scenario.Step, _ int) error {
	p := st.Play.WithDefaults()
	url, err := r.Lab.Plan().Resolve(p.URL)
	if err != nil {
		return err
	}
	p.URL = url
	n := r.plays.Add(1)
	tool := lab.Tool{
		Node: p.From, Timeout: p.Timeout,
		Log: fmt.Sprintf("play-%d-%s-%s-%s", n, p.From, p.Player, p.Service),
	}
	end, err := r.runPlayer(ctx, p, tool, n)
	if err != nil {
		return err
	}
	why := content(p, end)
	value := 1.0
	if why != nil {
		value = 0
		text := fmt.Sprintf("%s on %s does not play %s: %v%s", p.Player, p.From, url, why, tail(end.Err))
		r.Lab.Record(observe.KindEvent, p.From, "not-played", observe.Note{Text: text})
		r.Progress.Note(r.Lab.Now(), text)
	}
	labels := map[string]string{"player": p.Player, "service": p.Service}
	maps.Copy(labels, p.Labels)
	r.Lab.Record(observe.KindSample, p.From, "", observe.Sample{Metric: p.Metric, Labels: labels, Value: value})
	return nil
}

// runPlayer runs player n until it ends, and asks for its stream meanwhile if it has
// to be asked for.
func (r *Runner) runPlayer(ctx context.Context, p scenario.PlayStep, tool lab.Tool, n int64) (lab.Ended, error) {
	if !needsAsking(p) {
		tool.Argv = playerArgv(p)
		return r.Lab.RunTool(ctx, tool)
	}
	s, err := newStream(r.Lab.Node(p.From).NS().Do, p.URL, n)
	if err != nil {
		return lab.Ended{}, err
	}
	p.URL = s.input(p.Strict)
	tool.Argv = playerArgv(p)
	asking, stop := context.WithCancel(ctx)
	asked := make(chan error, 1)
	go func() { asked <- s.keep(asking) }()
	end, err := r.Lab.RunTool(ctx, tool)
	stop()
	return end, errors.Join(err, <-asked)
}

// playerArgv is the command line of a player.
func playerArgv(p scenario.PlayStep) []string {
	switch {
	case p.Publish:
		return publishArgv(p)
	case p.Player == scenario.FFprobe:
		argv := []string{
			"ffprobe", "-hide_banner", "-v", "error", "-select_streams", "v", "-count_packets",
			"-read_intervals", "%+#" + strconv.Itoa(p.Frames),
			"-show_entries", "stream=codec_name,profile,width,height,r_frame_rate,nb_read_packets",
		}
		return append(append(argv, inputArgs(p)...), p.URL)
	}
	argv := append([]string{"ffmpeg", "-hide_banner", "-nostdin", "-v", "warning"}, inputArgs(p)...)
	return append(argv, "-i", p.URL, "-map", "0:v", "-frames:v", strconv.Itoa(p.Frames), "-progress", "pipe:1", "-f", "null", "-")
}

// inputArgs are the options by which a player opens its input. Without headers,
// a stream is known after a second of it.
func inputArgs(p scenario.PlayStep) []string {
	if p.Transport == "" {
		return []string{"-analyzeduration", "1000000"}
	}
	out := []string{"-rtsp_transport", p.Transport}
	if p.Strict {
		out = append(out, "-rtsp_flags", "filter_src")
	}
	return out
}

func publishArgv(p scenario.PlayStep) []string {
	argv := []string{
		"ffmpeg", "-hide_banner", "-nostdin", "-v", "warning", "-re", "-f", "lavfi",
		"-i", "testsrc=size=128x64:rate=" + strconv.Itoa(framesPerSecond),
		"-t", strconv.FormatFloat(p.Duration.Seconds(), 'f', 3, 64), "-progress", "pipe:1",
		"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "25", "-pix_fmt", "yuv420p",
	}
	switch {
	case p.Transport != "":
		return append(argv, "-f", "rtsp", "-rtsp_transport", p.Transport, p.URL)
	case strings.HasPrefix(p.URL, "udp://"): // whole packets in each datagram
		return append(argv, "-f", "mpegts", p.URL+"?pkt_size=1316")
	}
	return append(argv, "-f", "flv", p.URL)
}

// content says what is wrong with how a player ended, or nil.
func content(p scenario.PlayStep, end lab.Ended) error {
	if end.Failure != nil {
		return end.Failure
	}
	if p.Player == scenario.FFprobe {
		return probed(p, end.Out)
	}
	want := p.Frames
	if p.Publish {
		want = int(p.Duration.Seconds() * framesPerSecond)
	}
	if got := lastNumber(end.Out, "frame"); got < want {
		return fmt.Errorf("%d of %d frames", got, want)
	}
	if strings.TrimSpace(end.Err) != "" && !p.Publish {
		return errors.New("it complains")
	}
	return nil
}

// probed checks that ffprobe saw the simulated servers' video and read it.
func probed(p scenario.PlayStep, out string) error {
	for _, want := range []string{"codec_name=h264", "profile=Constrained Baseline", "width=128", "height=64", "r_frame_rate=25/1"} {
		if !strings.Contains(out, want) {
			return fmt.Errorf("no %s", want)
		}
	}
	if got := lastNumber(out, "nb_read_packets"); got < p.Frames {
		return fmt.Errorf("%d of %d packets", got, p.Frames)
	}
	return nil
}

// lastNumber returns the last "key=number" in text, 0 if there is none.
func lastNumber(text, key string) int {
	all := regexp.MustCompile(`(?m)^`+key+`=\s*(\d+)\s*$`).FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(all[len(all)-1][1]) // digits only: 0 if too many
	return n
}

// tail returns the last lines of what a player said, for a message.
func tail(text string) string {
	const most = 4
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if n := len(lines); n > most {
		lines = lines[n-most:]
	}
	if said := strings.Join(lines, "; "); said != "" {
		return ": " + said
	}
	return ""
}

// playWords says what a play step does.
func playWords(p scenario.PlayStep) string {
	how := p.Transport
	if p.Strict {
		how += " strict"
	}
	verb := "plays"
	if p.Publish {
		verb = "publishes to"
	}
	return strings.TrimSpace(fmt.Sprintf("%s on %s %s %s %s", p.Player, p.From, verb, p.URL, how))
}
