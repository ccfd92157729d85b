// Package rtmp is the RTMP service of a node: it plays the live programme to
// players and counts what publishers send. The protocol itself is gortmplib's.
package rtmp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/gortmplib/pkg/message"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/media"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

const (
	// handshakeTimeout bounds the time from connecting to play or publish.
	handshakeTimeout = 10 * time.Second
	// silence ends a publisher that sends nothing, and a player that no longer
	// takes what it is sent.
	silence = 30 * time.Second
	// livePath is the application of the live programme, with any stream key.
	livePath = "/live"
)

// Options is what a Server is made of.
type Options struct {
	Live   *media.Source
	Ledger *ledger.Ledger
	Faults *control.FaultBoard
	Logger *slog.Logger
	Port   uint16
}

// Server is the RTMP service.
type Server struct {
	o  Options
	ln net.Listener
}

// Open binds the port.
func Open(ctx context.Context, o Options, op sock.Opener) (*Server, error) {
	ln, err := op.ListenTCP(ctx, o.Port)
	if err != nil {
		return nil, err
	}
	return &Server{o: o, ln: ln}, nil
}

// Addr is the listen address.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Serve runs sessions until ctx ends and cuts them then.
func (s *Server) Serve(ctx context.Context) error { return sock.ServeTCP(ctx, s.ln, s.serve) }

// session is one RTMP connection after its handshake.
type session struct {
	server *Server
	tcp    *net.TCPConn
	rtmp   *gortmplib.ServerConn
	entry  ledger.Entry
}

func (s *Server) serve(ctx context.Context, tcp *net.TCPConn) {
	client := tcp.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
	e := s.o.Ledger.Entry(control.ServiceRTMP, client)
	e.Open()
	defer e.Close()
	if err := s.accept(ctx, tcp, client); err != nil {
		s.o.Logger.DebugContext(ctx, "RTMP session ended", "client", client.Unmap(), "err", err)
	}
}

// accept runs the handshake and then the session.
func (s *Server) accept(ctx context.Context, tcp *net.TCPConn, client netip.Addr) error {
	if err := tcp.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	rtmp := &gortmplib.ServerConn{RW: tcp}
	if err := rtmp.Initialize(); err != nil {
		return err
	}
	if err := rtmp.Accept(); err != nil {
		return err
	}
	if err := tcp.SetDeadline(time.Time{}); err != nil {
		return err
	}
	proto := control.ProtoRTMPPlay
	if rtmp.Publish {
		proto = control.ProtoRTMPRecord
	}
	one := &session{server: s, tcp: tcp, rtmp: rtmp, entry: s.o.Ledger.Entry(proto, client)}
	one.entry.Open()
	defer one.entry.Close()
	if rtmp.Publish {
		return one.record()
	}
	return one.play(ctx)
}

// record counts the audio and video messages of a publisher until it leaves.
// Any codec that gortmplib knows will do: H.264, H.265, AV1, VP9, AAC and more.
func (s *session) record() error {
	before := s.rtmp.BytesReceived()
	for {
		if err := s.tcp.SetDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		msg, err := s.rtmp.Read()
		if err != nil {
			return err
		}
		now := s.rtmp.BytesReceived()
		switch m := msg.(type) {
		case *message.Video, *message.Audio, *message.VideoExCodedFrames, *message.VideoExFramesX,
			*message.VideoExMultitrack, *message.AudioExCodedFrames, *message.AudioExMultitrack:
			s.entry.Received(1, int(now-before))
		case *message.CommandAMF0:
			if m.Name == "deleteStream" || m.Name == "closeStream" {
				return nil
			}
		}
		before = now
	}
}

// play sends the live programme until the player leaves. What a player says
// meanwhile (acknowledgements, buffer lengths) matters to nobody, so it is read
// past gortmplib, whose reader may write and would meet this writer.
func (s *session) play(ctx context.Context) error {
	if path := s.rtmp.URL.Path; path != livePath && !strings.HasPrefix(path, livePath+"/") {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, s.tcp)
	}()
	track := &gortmplib.Track{Codec: &codecs.H264{SPS: media.SPS(), PPS: media.PPS()}}
	w := &gortmplib.Writer{Conn: s.rtmp, Tracks: []*gortmplib.Track{track}}
	if err := w.Initialize(); err != nil {
		return err
	}
	view := s.server.o.Live.Watch()
	defer view.Close()
	return s.send(ctx, w, track, view)
}

// send writes frames; time stamps begin at 0 with the first.
func (s *session) send(ctx context.Context, w *gortmplib.Writer, track *gortmplib.Track, view *media.View) error {
	first := time.Duration(-1)
	for {
		select {
		case f := <-view.C:
			if first < 0 {
				first = f.PTS()
			}
			if s.server.o.Faults.Has(control.MediaDead, control.ServiceRTMP) {
				continue
			}
			if err := s.write(w, track, f, f.PTS()-first); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *session) write(w *gortmplib.Writer, track *gortmplib.Track, f *media.Frame, at time.Duration) error {
	if err := s.tcp.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	before := s.rtmp.BytesSent()
	if err := w.WriteH264(track, at, at, f.NALs); err != nil {
		return err
	}
	s.entry.Sent(1, int(s.rtmp.BytesSent()-before))
	return nil
}
