package traffic

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/gortmplib/pkg/message"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"

	"github.com/vosbed/vosbed/simvos/control"
)

// runRTMP plays Path (default /live/stream), or publishes to it with Publish, on
// Flows connections. Metrics begin with "rtmp".
func runRTMP(ctx context.Context, a *agent) error {
	s := &stream{agent: a, name: "rtmp", period: framePeriod, paced: a.Publish}
	s.play = func(ctx context.Context, w *watcher) error {
		q := question{dialer: dialer{w.client}, to: a.target, path: a.Path}
		if a.Publish {
			return publishRTMP(ctx, w, q)
		}
		return playRTMP(ctx, w, q)
	}
	return s.run(ctx)
}

// openRTMP connects and performs the handshake; stop ends the connection.
func openRTMP(ctx context.Context, q question, publish bool) (c *gortmplib.Client, stop func(), err error) {
	path := "/live/stream"
	if publish {
		path = "/publish/stream"
	}
	if q.path != "" {
		path = q.path
	}
	end := func() {}
	c = &gortmplib.Client{
		URL: &url.URL{Scheme: "rtmp", Host: q.to.addr.String(), Path: path}, Publish: publish,
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			nc, err := q.tcp(ctx, addr)
			if err == nil {
				end = bounded(ctx, nc)
			}
			return nc, err
		},
	}
	if err := c.Initialize(ctx); err != nil {
		end()
		return nil, nil, err
	}
	return c, end, nil
}

// playRTMP plays until the connection ends.
func playRTMP(ctx context.Context, w *watcher, q question) error {
	c, stop, err := openRTMP(ctx, q, false)
	if err != nil {
		return err
	}
	defer stop()
	// gortmplib's Reader collects tracks for two seconds before it hands out
	// anything, which would hide how long a recovery takes.
	for {
		msg, err := c.Read()
		if err != nil {
			return err
		}
		video, ok := msg.(*message.Video)
		if !ok || video.Codec != message.CodecH264 || video.Type != message.VideoTypeAU {
			continue
		}
		var au h264.AVCC
		if err := au.Unmarshal(video.AU); err != nil {
			return fmt.Errorf("read an access unit: %w", err)
		}
		w.unit(au)
	}
}

// unit notes an access unit.
func (w *watcher) unit(au [][]byte) {
	size := 0
	var found *control.Marker
	for _, nal := range au {
		size += len(nal)
		if m, ok := control.MarkerInNAL(nal); ok {
			found = &m
		}
	}
	w.arrived(size, found, 0)
}

// publishRTMP publishes until the connection ends: 25 frames a second.
func publishRTMP(ctx context.Context, w *watcher, q question) error {
	c, stop, err := openRTMP(ctx, q, true)
	if err != nil {
		return err
	}
	defer stop()
	sps, pps := parameterSets()
	track := &gortmplib.Track{Codec: &codecs.H264{SPS: sps, PPS: pps}}
	writer := &gortmplib.Writer{Conn: c, Tracks: []*gortmplib.Track{track}}
	if err := writer.Initialize(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		// Acknowledgements must be read; a read that fails is the end.
		for {
			if _, err := c.Read(); err != nil {
				ended <- err
				return
			}
		}
	}()
	return w.publish(ctx, ended, func(n int) (int, error) {
		at := time.Duration(n) * framePeriod
		frame := slice(n)
		return len(frame), writer.WriteH264(track, at, at, [][]byte{frame})
	})
}
