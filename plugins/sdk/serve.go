package sdk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// AccountLister is what a Channel may also be, when its configuration tells which of the office's accounts it opens.
// Accounts is called after each Configure that went well. A channel that is none makes its accounts known by Report.
type AccountLister interface {
	Accounts() []string
}

// Main serves the channel until the host goes away, and is all that a plugin's main function calls. Started by hand,
// it says what the program is and ends.
func Main(info Info, ch Channel) {
	if os.Getenv(wire.EnvCookie) != wire.Cookie {
		fmt.Fprintf(os.Stderr, "%s %s is a plugin of Karov: Karov starts it, a person cannot.\n", info.ID, info.Version)
		os.Exit(2)
	}
	if err := Serve(context.Background(), info, ch); err != nil {
		fmt.Fprintf(os.Stderr, "[ERROR] %s: %v\n", info.ID, err)
		os.Exit(1)
	}
}

// Serve serves the channel until ctx ends or the host asks the plugin to stop. When the host is gone without a word,
// it ends the whole process. It reads what the host passed to the process, so it can be called once.
func Serve(ctx context.Context, info Info, ch Channel) error {
	l, err := openLine()
	if err != nil {
		return fmt.Errorf("open the line to the host: %w", err)
	}
	// The host decides when a plugin ends: a Ctrl-C meant for the daemon must not cut the plugin's work.
	// Taken and left unread rather than ignored, since a program that the plugin starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	conn, err := grpc.NewClient("unix:"+l.hostSocket, wire.DialOptions(l.token, l.peer)...)
	if err != nil {
		return fmt.Errorf("reach the host: %w", err)
	}
	defer conn.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	logs := newLogQueue(wirev1.NewHostClient(conn))
	out := egress{socket: os.Getenv(wire.EnvEgress), token: l.token}
	s := &server{
		info: info, ch: ch, ctx: ctx, stop: cancel, logs: logs,
		host: &host{client: wirev1.NewHostClient(conn), log: newLogger(logs), out: out, web: out.httpClient()},
	}
	var logging sync.WaitGroup
	logging.Go(func() { logs.run(ctx) })
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: wire.Handshake(),
		Plugins:         goplugin.PluginSet{wire.LineName: &wire.Line{Register: s.register}},
		Logger:          hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr, JSONFormat: true}),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			g := grpc.NewServer(append(opts, wire.ServerOptions(l.token, l.peer)...)...)
			go func() { // ends with ctx, which ends with Serve
				<-ctx.Done()
				stopServer(g)
			}()
			return g
		},
	})
	cancel()
	s.endRun(ctx)
	logging.Wait()
	return nil
}

// stopServer lets calls that are being answered finish, but not for long: the host kills a plugin that lingers.
func stopServer(g *grpc.Server) {
	late := time.AfterFunc(time.Second, g.Stop)
	defer late.Stop()
	g.GracefulStop()
}

// line is what the host passed to the process.
type line struct {
	token      wire.Token
	hostSocket string
	peer       wire.Peer
}

// openLine reads the token from the inherited file and watches that file: when it ends, the host is gone, however it
// went, and nothing may outlive it.
func openLine() (*line, error) {
	fd, err := strconv.Atoi(os.Getenv(wire.EnvLifeFD))
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s names no open file", wire.EnvLifeFD)
	}
	syscall.CloseOnExec(fd)
	life := os.NewFile(uintptr(fd), "life")
	if life == nil {
		return nil, fmt.Errorf("%s names no open file", wire.EnvLifeFD)
	}
	in := bufio.NewReaderSize(life, wire.TokenLength+1)
	first, err := in.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("read the token: %w", err)
	}
	l := &line{token: wire.Token(strings.TrimSuffix(first, "\n")), hostSocket: os.Getenv(wire.EnvHostSocket)}
	if len(l.token) != wire.TokenLength || l.hostSocket == "" {
		return nil, errors.New("the token or the host's socket is missing")
	}
	parent := os.Getppid()
	l.peer = wire.Peer{PID: func() int { return parent }, UID: os.Geteuid()}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		os.Exit(3)
	}()
	return l, nil
}
