package simvos_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/simvos/control"
)

// ask sends one probe on a connected socket, which takes only replies that
// come from the address it asked.
func ask(t *testing.T, conn net.Conn, seq uint64) (control.ProbeReply, error) {
	t.Helper()
	req := control.ProbeRequest{Flow: 7, Seq: seq, Sent: 12345}
	if _, err := conn.Write(req.AppendTo(nil)); err != nil {
		return control.ProbeReply{}, err
	}
	buf := make([]byte, control.ProbeReplySize)
	if _, err := io.ReadFull(conn, buf); err != nil {
		return control.ProbeReply{}, err
	}
	r, err := control.DecodeProbeReply(buf)
	if err == nil && r.Request != req {
		t.Errorf("echo %+v, want %+v", r.Request, req)
	}
	return r, err
}

func TestProbe(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for _, network := range []string{"udp", "tcp"} {
		for _, to := range []netip.Addr{vip, vip6, rip, rip6} {
			t.Run(network+" "+to.String(), func(t *testing.T) {
				port := uint16(60000)
				if network == "tcp" {
					port = 60001
				}
				conn := l.dial(t, network, to, port)
				var last uint64
				for seq := range uint64(10) {
					r, err := ask(t, conn, seq)
					must(t, err)
					if r.Marker.Server != 115 || r.Marker.Epoch != l.node.Status().Epoch {
						t.Fatalf("marker %+v of another server", r.Marker)
					}
					if r.Marker.Counter <= last {
						t.Fatalf("counter %d after %d", r.Marker.Counter, last)
					}
					last = r.Marker.Counter
				}
			})
		}
	}
	c := l.status(t).Client(clientIP, control.ServiceProbeUDP)
	if c.ReceivedPackets != 20 || c.SentPackets != 20 {
		t.Errorf("ledger %+v, want 20 requests and 20 replies", c)
	}
	if c := l.status(t).Client(clientIP6, control.ServiceProbeTCP); c.Sessions != 2 || c.ReceivedPackets != 20 {
		t.Errorf("ledger %+v, want 2 connections and 20 requests", c)
	}
}

func TestProbeFaults(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	conn := l.dial(t, "udp", vip, 60000)
	silent := func(what string) {
		t.Helper()
		must(t, conn.SetDeadline(time.Now().Add(200*time.Millisecond)))
		if r, err := ask(t, conn, 1); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: reply %+v, error %v, want silence", what, r, err)
		}
	}
	answers := func(what string) {
		t.Helper()
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		if _, err := ask(t, conn, 2); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	answers("no fault")
	l.fault(t, control.Fault{Kind: control.MediaDead})
	silent("media-dead")
	must(t, l.control.ClearFault(t.Context(), control.MediaDead))
	answers("media-dead cleared")
	l.fault(t, control.Fault{Kind: control.WrongSource})
	silent("wrong-source")
	must(t, l.control.ClearFaults(t.Context()))
	answers("wrong-source cleared")

	l.fault(t, control.Fault{Kind: control.Refuse, Service: control.ServiceProbeUDP})
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	if _, err := ask(t, conn, 3); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("refuse: %v, want connection refused", err)
	}
	must(t, l.control.ClearFaults(t.Context()))
	answers("refuse cleared")
}

func TestWrongSourceIsTheRIP(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	l.fault(t, control.Fault{Kind: control.WrongSource})
	for _, tt := range []struct{ used, want netip.Addr }{{vip, rip}, {vip6, rip6}} {
		var pc net.PacketConn
		must(t, l.client.Do(func() (err error) {
			var lc net.ListenConfig
			pc, err = lc.ListenPacket(t.Context(), "udp", ":0")
			return err
		}))
		defer pc.Close()
		_, err := pc.WriteTo(control.ProbeRequest{}.AppendTo(nil), net.UDPAddrFromAddrPort(netip.AddrPortFrom(tt.used, 60000)))
		must(t, err)
		must(t, pc.SetDeadline(time.Now().Add(patience)))
		_, from, err := pc.ReadFrom(make([]byte, 100))
		must(t, err)
		if got := from.(*net.UDPAddr).AddrPort().Addr().Unmap(); got != tt.want {
			t.Errorf("asked %s, reply from %s, want %s", tt.used, got, tt.want)
		}
	}
}

func TestRefuseAll(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	conn := l.dial(t, "tcp", vip, 60001)
	_, err := ask(t, conn, 1)
	must(t, err)
	l.fault(t, control.Fault{Kind: control.Refuse})
	if _, err = ask(t, conn, 2); err == nil {
		t.Error("a connection outlived the refusal")
	}
	for _, s := range l.status(t).Services {
		if s.State != "refused" {
			t.Errorf("service %s is %s", s.Name, s.State)
		}
		if s.Network == "tcp" {
			_, port, _ := net.SplitHostPort(s.Addr)
			err = l.client.Do(func() error {
				d := net.Dialer{Timeout: patience}
				c, derr := d.DialContext(t.Context(), "tcp", net.JoinHostPort(vip.String(), port))
				if derr == nil {
					c.Close()
				}
				return derr
			})
			if !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("service %s: %v, want connection refused", s.Name, err)
			}
		}
	}
	must(t, l.control.ClearFault(t.Context(), control.Refuse))
	_, err = ask(t, l.dial(t, "tcp", vip, 60001), 3)
	must(t, err)
}

func TestBulk(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	const size = 3<<20 + 17
	t.Run("upload", func(t *testing.T) {
		for _, announced := range []uint64{size, 0} {
			conn := l.dial(t, "tcp", vip, 60002)
			_, err := conn.Write(control.BulkRequest{Mode: control.Upload, Bytes: announced}.AppendTo(nil))
			must(t, err)
			_, err = conn.Write(make([]byte, size))
			must(t, err)
			if announced == 0 {
				must(t, conn.(*net.TCPConn).CloseWrite())
			}
			count := make([]byte, control.BulkCountSize)
			_, err = io.ReadFull(conn, count)
			must(t, err)
			if got := binary.BigEndian.Uint64(count); got != size {
				t.Errorf("announced %d: the sink counted %d, want %d", announced, got, size)
			}
		}
	})
	t.Run("download", func(t *testing.T) {
		conn := l.dial(t, "tcp", vip6, 60002)
		_, err := conn.Write(control.BulkRequest{Mode: control.Download, Bytes: size}.AppendTo(nil))
		must(t, err)
		n, err := io.Copy(io.Discard, conn)
		must(t, err)
		if n != size {
			t.Errorf("got %d bytes, want %d", n, size)
		}
	})
}
