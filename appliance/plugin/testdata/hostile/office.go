package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// line is a line of its own to a socket of Karov, without what the SDK minds.
func line(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1<<30)))
}

func with(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "karov-token", token)
}

func cursor(ctx context.Context, socket, token string) error {
	conn, err := line(socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err = wirev1.NewHostClient(conn).Cursor(with(ctx, token), &wirev1.CursorRequest{Account: "office"})
	return err
}

// sockets aims at sockets of others, and at its own with false papers.
func (h *hostile) sockets(ctx context.Context) []attempt {
	own := os.Getenv(wire.EnvHostSocket)
	other := h.Config["other-sockets"]
	return []attempt{
		{"its own line with a wrong token", func() error { return cursor(ctx, own, strings.Repeat("0", len(h.token))) }},
		{"its own line without a token", func() error { return cursor(ctx, own, "") }},
		{"another plugin's line to the host", func() error { return cursor(ctx, filepath.Join(other, "host.sock"), h.token) }},
		{"another plugin itself", func() error {
			conn, err := line(filepath.Join(other, "plugin.sock"))
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = wirev1.NewBaseClient(conn).Info(with(ctx, h.token), &wirev1.InfoRequest{})
			return err
		}},
		{"another plugin's way out", func() error { return h.ask(filepath.Join(other, "egress.sock"), h.token, h.declared()) }},
		{"the way out with a wrong token", func() error {
			return h.ask(os.Getenv(wire.EnvEgress), strings.Repeat("0", len(h.token)), h.declared())
		}},
		{"papers of the host's process", func() error {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			forged := unix.UnixCredentials(&unix.Ucred{Pid: int32(os.Getppid()), Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())})
			return unix.Sendmsg(pair[0], []byte("x"), forged, nil, 0)
		}},
		{"commands of the administrator", func() error {
			conn, err := net.Dial("unix", h.Config["control"])
			if err != nil {
				return err
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST /status HTTP/1.1\r\nHost: karov\r\nContent-Length: 3\r\n\r\n{}\n")
			return answered(conn)
		}},
		{"the key to those commands", reads(filepath.Join(filepath.Dir(h.Config["control"]), "control.key"))},
	}
}

// answered is nil when an HTTP server said 200.
func answered(conn net.Conn) error {
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", answer.Status)
	}
	return nil
}

// ask speaks with a way out, its own or another's.
func (h *hostile) ask(socket, token, to string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: Bearer %s\r\n\r\n", to, to, token)
	return answered(conn)
}

// declared is the one place that the manifest names.
func (h *hostile) declared() string {
	_, port, _ := net.SplitHostPort(h.Config["server"])
	return net.JoinHostPort(h.Config["declared"], port)
}

// network aims at the world, by the way out and past it.
func (h *hostile) network(ctx context.Context, host sdk.Host) []attempt {
	dial := func(to string) func() error {
		return func() error {
			conn, err := host.Dial(ctx, "tcp", to)
			if err == nil {
				conn.Close()
			}
			return err
		}
	}
	_, port, _ := net.SplitHostPort(h.Config["server"])
	return append([]attempt{
		{"a declared place", dial(h.declared())},
		{"an undeclared host", dial("evil.example:443")},
		{"an undeclared port of a declared host", dial(net.JoinHostPort(h.Config["declared"], "22"))},
		{"this machine under a public name", dial("localhost:" + port)},
		{"the cloud's keys", dial("169.254.169.254:80")},
	}, h.direct()...)
}

// office aims at what the host serves.
func (h *hostile) office(ctx context.Context, host sdk.Host) []attempt {
	return []attempt{
		{"records it was not granted", func() error { _, err := host.Records().Get(ctx, "contact", h.Config["record"]); return err }},
		{"count what it was not granted", func() error { _, _, err := host.Records().Count(ctx, "contact", ""); return err }},
		{"rights of a made-up call", func() error {
			conn, err := line(os.Getenv(wire.EnvHostSocket))
			if err != nil {
				return err
			}
			defer conn.Close()
			forged := metadata.AppendToOutgoingContext(with(ctx, h.token), wire.CallKey, strings.Repeat("a", 64))
			_, err = wirev1.NewRecordsClient(conn).Get(forged, &wirev1.GetRequest{Entity: "contact", Ids: []string{h.Config["record"]}})
			return err
		}},
		{"a message of 100 MB", func() error {
			conn, err := line(os.Getenv(wire.EnvHostSocket))
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = wirev1.NewHostClient(conn).SaveCursor(with(ctx, h.token),
				&wirev1.SaveCursorRequest{Account: "office", Cursor: strings.Repeat("x", 100<<20)})
			return err
		}},
	}
}

// flood makes as many calls as it can for a while.
func (h *hostile) flood(ctx context.Context) []attempt {
	return []attempt{{"100,000 calls a second", func() error {
		var served, refused sync.Map
		count := func(m *sync.Map) int { n := 0; m.Range(func(_, v any) bool { n += v.(int); return true }); return n }
		var all sync.WaitGroup
		until := time.Now().Add(5 * time.Second)
		var clients []wirev1.HostClient
		for range 4 {
			conn, err := line(os.Getenv(wire.EnvHostSocket))
			if err != nil {
				return err
			}
			defer conn.Close()
			clients = append(clients, wirev1.NewHostClient(conn))
		}
		for i := range 128 { // as many as are let in, with as many calls as each may have under way
			all.Go(func() {
				client := clients[i%len(clients)]
				ok, no := 0, 0
				for time.Now().Before(until) {
					_, err := client.SaveCursor(with(ctx, h.token), &wirev1.SaveCursorRequest{Account: "office", Cursor: "1"})
					if wire.FaultOf(err).GetKey() == "plugin.too-many-calls" {
						no++
					} else {
						ok++ // answered, if only that it has no channel
					}
				}
				served.Store(i, ok)
				refused.Store(i, no)
			})
		}
		all.Wait()
		return fmt.Errorf("%d answered and %d refused in 5 s", count(&served), count(&refused))
	}}}
}

func manyFiles() error {
	for i := range 1_000_000 {
		if err := os.WriteFile("f"+strconv.Itoa(i), nil, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func muchDisk() error {
	piece := make([]byte, 1<<20)
	for i := range 1000 {
		for range 10 {
			f, err := os.OpenFile("d"+strconv.Itoa(i), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			_, err = f.Write(piece)
			f.Close()
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// hiddenDisk fills files that have no name any more, which no look into the folder finds.
func hiddenDisk() error {
	piece := make([]byte, 1<<20)
	for range 100 {
		f, err := os.CreateTemp(".", "h")
		if err != nil {
			return err
		}
		if err := os.Remove(f.Name()); err != nil {
			return err
		}
		for range 50 { // each within the limit of one file
			if _, err := f.Write(piece); err != nil {
				return err
			}
		}
	}
	return nil
}

func muchMemory() error {
	var all [][]byte
	for range 10 << 10 {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = 1
		}
		all = append(all, b)
	}
	runtime.KeepAlive(all)
	return nil
}

func manyThreads() error {
	stop := make(chan struct{})
	defer close(stop)
	for range 1000 {
		go func() {
			runtime.LockOSThread() // a thread of its own, which ends with the goroutine
			var fds [2]int
			if unix.Pipe(fds[:]) == nil {
				_, _ = io.ReadFull(os.NewFile(uintptr(fds[0]), "pipe"), make([]byte, 1))
			}
		}()
	}
	time.Sleep(time.Minute)
	return nil
}
