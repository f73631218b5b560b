// Command pace is a plugin that only answers, and the same on gRPC alone, for benchmarks of the host: `pace bare SOCKET`
// serves on a unix socket without Karov. Asked to, it floods its host with calls, or falls.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "bare" {
		if err := bare(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	p := &pace{changed: make(chan struct{}, 1)}
	if os.Getenv(wire.EnvLifeFD) != "" {
		p.token = readToken()
	}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /heard", p.heard)
	routes.HandleFunc("GET /flood", p.flood)
	routes.HandleFunc("GET /fall", func(http.ResponseWriter, *http.Request) { os.Exit(9) })
	sdk.Run(sdk.Plugin{
		Info: sdk.Info{ID: filepath.Base(os.Getenv("HOME")), Version: "1.0.0"}, // the work folder is named by the id
		Before: map[string]sdk.BeforeFunc{"contact": func(context.Context, sdk.Host, sdk.Write) (sdk.Values, error) {
			return nil, nil
		}},
		After: p.after,
		Views: map[string]sdk.ViewFunc{"blank": func(context.Context, sdk.Host, sdk.Look) (sdk.View, error) {
			return sdk.View{}, nil
		}},
		HTTP: routes,
	})
}

// pace counts what it hears.
type pace struct {
	token   string
	changed chan struct{}
	first   atomic.Int64 // when the first event of a run came, in ns; 0 before
	last    atomic.Uint64
	count   atomic.Int64
}

func (p *pace) after(_ context.Context, _ sdk.Host, e sdk.Event) error {
	p.first.CompareAndSwap(0, time.Now().UnixNano())
	p.count.Add(1)
	p.last.Store(e.Seq)
	select {
	case p.changed <- struct{}{}:
	default:
	}
	return nil
}

// heard waits until an event was heard and says how many were and in how many ns, then counts anew.
func (p *pace) heard(w http.ResponseWriter, r *http.Request) {
	until, _ := strconv.ParseUint(r.FormValue("until"), 10, 64)
	for p.last.Load() < until {
		select {
		case <-p.changed:
		case <-r.Context().Done():
			return
		}
	}
	_, _ = fmt.Fprintf(w, "%d %d", p.count.Swap(0), time.Now().UnixNano()-p.first.Swap(0))
}

// flood calls Karov as fast as it can, over as many connections as it gets and with as many calls as each may have under
// way, for as long as it is told to, and says how many calls were answered and how many refused.
func (p *pace) flood(w http.ResponseWriter, r *http.Request) {
	long, err := time.ParseDuration(r.FormValue("for"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var served, refused, broken atomic.Int64
	ctx, stop := context.WithTimeout(r.Context(), long)
	defer stop()
	var all sync.WaitGroup
	var clients []wirev1.HostClient
	for range 7 { // and the SDK's own
		here := wire.Peer{PID: os.Getppid, UID: os.Geteuid()}
		conn, err := grpc.NewClient("unix:"+os.Getenv(wire.EnvHostSocket), wire.DialOptions(wire.Token(p.token), here)...)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer conn.Close()
		clients = append(clients, wirev1.NewHostClient(conn))
	}
	for i := range len(clients) * 32 {
		all.Go(func() {
			client := clients[i%len(clients)]
			for ctx.Err() == nil {
				_, err := client.SaveCursor(ctx, &wirev1.SaveCursorRequest{Account: "office", Cursor: "1"})
				switch f := wire.FaultOf(err); {
				case f.GetKey() == "plugin.too-many-calls":
					refused.Add(1)
				case f.GetKind() == wirev1.Kind_KIND_UNAVAILABLE:
					broken.Add(1)
				default:
					served.Add(1)
				}
			}
		})
	}
	all.Wait()
	_, _ = fmt.Fprintf(w, "%d answered, %d refused, %d got nowhere", served.Load(), refused.Load(), broken.Load())
}

// readToken reads the token of the life line, where only the SDK should read, and puts it back for the SDK.
func readToken() string {
	token := make([]byte, wire.TokenLength+1)
	life := os.NewFile(3, "life")
	if _, err := io.ReadFull(life, token); err != nil {
		panic(err)
	}
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		panic(err)
	}
	if _, err := syscall.Write(pipe[1], token); err != nil {
		panic(err)
	}
	go func() { // the host's end of the line still ends this process
		_, _ = io.Copy(io.Discard, life)
		os.Exit(3)
	}()
	if err := os.Setenv(wire.EnvLifeFD, strconv.Itoa(pipe[0])); err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(token))
}

// alone is a plugin without the SDK and without a host.
type alone struct {
	wirev1.UnimplementedHooksServer
}

// After is done with each event at once.
func (alone) After(stream grpc.BidiStreamingServer[wirev1.Event, wirev1.EventDone]) error {
	for {
		e, err := stream.Recv()
		if err != nil {
			return nil
		}
		if err := stream.Send(&wirev1.EventDone{Seq: e.GetSeq()}); err != nil {
			return err
		}
	}
}

// Before has nothing against a write.
func (alone) Before(context.Context, *wirev1.BeforeRequest) (*wirev1.BeforeResponse, error) {
	return &wirev1.BeforeResponse{}, nil
}

// bare serves until its standard input ends.
func bare(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	wirev1.RegisterHooksServer(server, alone{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		server.Stop()
	}()
	return server.Serve(l)
}
