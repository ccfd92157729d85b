// Package capture keeps the head of every frame that a node sends into the
// switch, in a bounded ring, and writes it as pcapng.
package capture

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/internal/netns"
)

// Bounds of the ring.
const (
	Snap  = 128     // bytes kept of a frame
	Depth = 1 << 17 // frames kept
)

type frame struct {
	at   time.Time
	port int32
	size int32
	n    int32
	data [Snap]byte
}

// Capture is a running capture.
type Capture struct {
	fd    int
	names map[int]string // interface index -> port name
	done  chan struct{}
	mu    sync.Mutex
	end   time.Time // of the capture, once closed
	ring  []frame
	next  int
}

// Start opens a packet socket in ns and records what arrives at the interfaces in
// names (by index). Close stops it.
func Start(ns *netns.NS, names map[int]string) (*Capture, error) {
	c := &Capture{fd: -1, names: names, done: make(chan struct{})}
	err := ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(Htons(unix.ETH_P_ALL)))
		c.fd = fd
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open a packet socket (CONFIG_PACKET is needed): %w", err)
	}
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	tv := unix.Timeval{Usec: 100_000}
	if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return nil, errors.Join(fmt.Errorf("set time-out: %w", err), unix.Close(c.fd))
	}
	go c.loop(c.fd)
	return c, nil
}

// Htons converts to network byte order.
func Htons(v uint16) uint16 { return v<<8 | v>>8 }

// loop keeps frames until the capture is closed and what came before that has been
// read: the last frames of a run are the ones people look for.
func (c *Capture) loop(fd int) {
	defer close(c.done)
	buf, oob := make([]byte, Snap), make([]byte, 128)
	for {
		n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, unix.MSG_TRUNC)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			if c.closed() {
				return
			}
			continue
		}
		if err != nil {
			return
		}
		at := stamp(oob[:oobn])
		if c.closedBefore(at) {
			return
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || ll.Pkttype == unix.PACKET_OUTGOING || c.names[ll.Ifindex] == "" {
			continue
		}
		c.keep(ll.Ifindex, buf, n, at)
	}
}

func (c *Capture) closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd < 0
}

func (c *Capture) closedBefore(t time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fd < 0 && c.end.Before(t)
}

func (c *Capture) keep(port int, buf []byte, size int, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ring) < Depth {
		c.ring = append(c.ring, frame{})
	}
	f := &c.ring[c.next%Depth]
	f.at, f.port, f.size, f.n = at, int32(port), int32(size), int32(min(size, Snap))
	copy(f.data[:], buf[:f.n])
	c.next++
}

// stamp finds the kernel's receive time among the control messages.
func stamp(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Now()
	}
	for _, m := range msgs {
		if m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
			sec, nsec := le64(m.Data), le64(m.Data[8:])
			return time.Unix(sec, nsec)
		}
	}
	return time.Now()
}

func le64(b []byte) int64 {
	var v uint64
	for i := range 8 {
		v |= uint64(b[i]) << (8 * i)
	}
	return int64(v)
}

// Close stops the capture; what was kept can still be written.
func (c *Capture) Close() error {
	c.mu.Lock()
	fd := c.fd
	c.fd, c.end = -1, time.Now()
	c.mu.Unlock()
	if fd < 0 {
		return nil
	}
	<-c.done // at most the receive time-out later
	return unix.Close(fd)
}

// WriteTo writes the kept frames as pcapng, oldest first.
func (c *Capture) WriteTo(w io.Writer, comment string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ng, ids, err := c.writer(w, comment)
	if err != nil {
		return err
	}
	first := max(0, c.next-Depth)
	for i := first; i < c.next; i++ {
		f := &c.ring[i%Depth]
		ci := gopacket.CaptureInfo{
			Timestamp: f.at, CaptureLength: int(f.n), Length: int(f.size), InterfaceIndex: ids[int(f.port)],
		}
		if err := ng.WritePacket(ci, f.data[:f.n]); err != nil {
			return fmt.Errorf("write capture: %w", err)
		}
	}
	return ng.Flush()
}

func (c *Capture) writer(w io.Writer, comment string) (*pcapgo.NgWriter, map[int]int, error) {
	var ng *pcapgo.NgWriter
	ids := map[int]int{}
	for index, name := range c.names {
		intf := pcapgo.NgInterface{Name: name, LinkType: layers.LinkTypeEthernet, SnapLength: Snap, TimestampResolution: 9}
		if ng == nil {
			opt := pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "vosbed", Comment: comment}}
			var err error
			if ng, err = pcapgo.NewNgWriterInterface(w, intf, opt); err != nil {
				return nil, nil, fmt.Errorf("write capture: %w", err)
			}
			ids[index] = 0
			continue
		}
		id, err := ng.AddInterface(intf)
		if err != nil {
			return nil, nil, fmt.Errorf("write capture: %w", err)
		}
		ids[index] = id
	}
	if ng == nil {
		return nil, nil, errors.New("write capture: no interface was captured")
	}
	return ng, ids, nil
}
