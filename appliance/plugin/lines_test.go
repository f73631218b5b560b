package plugin

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/karov-crm/karov/plugins/wire"
)

// TestAPluginHasFewConnections opens more than it gets: the one too many is closed without a word and told of, and one
// that ends makes room.
func TestAPluginHasFewConnections(t *testing.T) {
	b := newBench(t)
	s := b.plugin(workshopManifest()).s
	s.peer = wire.Peer{PID: os.Getpid, UID: os.Geteuid()}
	dir, err := os.MkdirTemp("", "k")
	b.must(err)
	defer os.RemoveAll(dir)
	plain, err := net.Listen("unix", filepath.Join(dir, hostSocket))
	b.must(err)
	accepted := make(chan net.Conn, 2*connectionsAtOnce)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for l := (lookedAt{plain, s, &atomic.Int32{}}); ; {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	defer func() { _ = plain.Close(); <-ended }()
	dial := func() net.Conn {
		conn, err := net.Dial("unix", plain.Addr().String())
		b.must(err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	var theirs []net.Conn
	for range connectionsAtOnce {
		dial()
		theirs = append(theirs, <-accepted)
	}
	for range 3 {
		if n, err := dial().Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("one too many: %d bytes, %v", n, err)
		}
	}
	if told := b.told(); len(told) != 1 || told[0] != "il.example.workshop too-many-calls " {
		t.Errorf("the office heard %v", told)
	}
	_, _, _ = theirs[0].Close(), theirs[0].Close(), theirs[1].Close() // closed twice it makes room once
	for range 2 {
		dial()
		_ = (<-accepted).(syscall.Conn) // as the check of the peer needs it
	}
	if n, err := dial().Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("one too many again: %d bytes, %v", n, err)
	}
}
