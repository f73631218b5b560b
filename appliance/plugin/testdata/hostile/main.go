// Command hostile is a plugin that tries everything it must not, one thing after the other, and writes what came of it
// into its own folder. Its settings say where to aim, and which of the attempts that end it to make at last.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/karov-crm/karov/plugins/sdk"
	"github.com/karov-crm/karov/plugins/wire"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/status"
)

// results is where the outcomes are written, one line of JSON for each attempt.
const results = "results.jsonl"

// hostile is the plugin with what it knows of its victims.
type hostile struct {
	sdk.Config
	token string
}

func main() {
	h := &hostile{}
	if os.Getenv(wire.EnvLifeFD) != "" {
		h.token = stealToken()
	}
	sdk.Run(sdk.Plugin{
		Info: sdk.Info{ID: "test.hostile", Version: "1.0.0"},
		Configure: func(_ context.Context, c sdk.Config) error {
			h.Config = c
			return nil
		},
		Start: func(ctx context.Context, host sdk.Host) error {
			h.run(ctx, host)
			return nil
		},
	})
}

// stealToken reads the token of the life line, where only the SDK should read, and puts it back for the SDK.
func stealToken() string {
	token := make([]byte, wire.TokenLength+1)
	if _, err := io.ReadFull(os.NewFile(3, "life"), token); err != nil {
		panic(err)
	}
	var pipe [2]int
	if err := errors.Join(syscall.Pipe(pipe[:]), syscall.Dup3(pipe[0], 3, 0)); err != nil {
		panic(err)
	}
	if _, err := syscall.Write(pipe[1], token); err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(token))
}

// attempt is one thing to try.
type attempt struct {
	name string
	try  func() error
}

func (h *hostile) run(ctx context.Context, host sdk.Host) {
	out, err := os.OpenFile(results, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		host.Log().Error("write the results", "error", err)
		return
	}
	defer out.Close()
	write := json.NewEncoder(out)
	var all []attempt
	switch h.Config["last"] {
	case "":
		all = append(all, h.files()...)
		all = append(all, h.processes()...)
		all = append(all, h.sockets(ctx)...)
		all = append(all, h.network(ctx, host)...)
		all = append(all, h.office(ctx, host)...)
	case "calls":
		all = h.flood(ctx)
	case "files":
		all = []attempt{{"1,000,000 files", manyFiles}}
	case "disk":
		all = []attempt{{"10 GB on the disk", muchDisk}}
	case "hidden-disk":
		all = []attempt{{"10 GB without a name", hiddenDisk}}
	case "memory":
		all = []attempt{{"10 GB of memory", muchMemory}}
	case "threads":
		all = []attempt{{"a thousand threads", manyThreads}}
	}
	for _, a := range all {
		_ = write.Encode(map[string]string{"attempt": a.name, "outcome": outcome(a.try())})
	}
	_ = write.Encode(map[string]string{"attempt": "done", "outcome": ""})
	<-ctx.Done()
}

// outcome names what came of an attempt: "done" when it worked, else what refused it.
func outcome(err error) string {
	var errno syscall.Errno
	var known *sdk.Error
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &errno) && unix.ErrnoName(errno) != "":
		return unix.ErrnoName(errno)
	case errors.As(err, &known):
		return known.Key
	}
	if s, ok := status.FromError(err); ok {
		return fmt.Sprint(s.Code())
	}
	return err.Error()
}
