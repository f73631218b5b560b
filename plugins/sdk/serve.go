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

// Serve serves the plugin until ctx ends or the host asks the plugin to stop. When the host is gone without a word, it
// ends the whole process. It reads what the host passed to the process, so it can be called once.
func (p Plugin) Serve(ctx context.Context) error {
	l, err := openLine()
	if err != nil {
		return fmt.Errorf("open the line to the host: %w", err)
	}
	// The host decides when a plugin ends: a Ctrl-C meant for the daemon must not cut the plugin's work.
	// Taken and left unread rather than ignored, since a program that the plugin starts would inherit that.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	conn, err := l.dial()
	if err != nil {
		return fmt.Errorf("reach the host: %w", err)
	}
	defer conn.Close()
	logs := newLogQueue(wirev1.NewHostClient(conn))
	s := newServer(ctx, p, newHost(conn, newLogger(logs), l.out), logs)
	defer s.stop()
	var logging sync.WaitGroup
	logging.Go(func() { logs.run(s.ctx) })
	goplugin.Serve(&goplugin.ServeConfig{
		HandshakeConfig: wire.Handshake(),
		Plugins:         goplugin.PluginSet{wire.LineName: &wire.Line{Register: s.register}},
		Logger:          hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr, JSONFormat: true}),
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			g := grpc.NewServer(append(append(opts, wire.ServerOptions(l.token, l.peer)...), s.options()...)...)
			go func() { // ends with the server's ctx, which ends with Serve
				<-s.ctx.Done()
				stopServer(g)
			}()
			return g
		},
	})
	s.stop()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lingers)
	defer cancel()
	s.endRun(ending)
	logging.Wait()
	return nil
}

// lingers is how long what is under way may take to end with the process: the host kills a plugin that lingers.
const lingers = time.Second

// stopServer lets calls that are being answered finish, but not for long.
func stopServer(g *grpc.Server) {
	late := time.AfterFunc(lingers, g.Stop)
	defer late.Stop()
	g.GracefulStop()
}

// line is what the host passed to the process.
type line struct {
	token      wire.Token
	hostSocket string
	peer       wire.Peer
	out        egress
}

// dial reaches the host. Nothing is resolved: the address is a path.
func (l *line) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+l.hostSocket, append(wire.DialOptions(l.token, l.peer), clientOptions()...)...)
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
	l.out = egress{socket: os.Getenv(wire.EnvEgress), token: l.token}
	parent := os.Getppid()
	l.peer = wire.Peer{PID: func() int { return parent }, UID: os.Geteuid()}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		os.Exit(3)
	}()
	return l, nil
}
