// Command rogue is a plugin that misbehaves, written straight on the wire without the SDK. Its own file name says how,
// and after a hyphen which version it is.
package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type rogue struct {
	wirev1.UnimplementedBaseServer
	wirev1.UnimplementedChannelServer
	how     string
	version string
	token   string
	host    wirev1.HostClient
	tell    sync.Once
	ill     atomic.Bool
}

func main() {
	how, version, ok := strings.Cut(filepath.Base(os.Args[0]), "-")
	if !ok {
		version = "1.0.0"
	}
	if len(os.Args) == 3 { // a child of "stranger": another process with the right token
		fmt.Println(cursorWith(os.Args[1], os.Args[2]))
		return
	}
	life := os.NewFile(3, "life")
	token, err := bufio.NewReader(life).ReadString('\n')
	check(err)
	r := &rogue{how: how, version: version, token: strings.TrimSpace(token)}
	if strings.HasSuffix(version, "-silent") {
		how = "silent"
	}
	switch how {
	case "crash":
		fmt.Fprintln(os.Stderr, "panic: boom")
		os.Exit(2)
	case "silent":
		select {}
	}
	conn, err := grpc.NewClient("unix:"+os.Getenv(wire.EnvHostSocket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	r.host = wirev1.NewHostClient(conn)
	path := filepath.Join(os.Getenv(wire.EnvSocketDir), "mine")
	if how == "elsewhere" {
		path = filepath.Join(os.Getenv("HOME"), "s")
		_ = os.Remove(path)
	}
	l, err := net.Listen("unix", path)
	check(err)
	s := grpc.NewServer()
	h := health.NewServer()
	h.SetServingStatus(wire.HealthService, grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(s, h)
	wirev1.RegisterBaseServer(s, r)
	wirev1.RegisterChannelServer(s, r)
	fmt.Printf("1|1|unix|%s|grpc\n", path)
	check(s.Serve(l))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "[ERROR]", err)
		os.Exit(1)
	}
}

func (r *rogue) Info(context.Context, *wirev1.InfoRequest) (*wirev1.InfoResponse, error) {
	if strings.HasSuffix(r.version, "-crash") {
		os.Exit(4)
	}
	id := "test.rogue." + r.how
	if r.how == "liar" || strings.HasSuffix(r.version, "-liar") {
		id = "test.rogue.honest"
	}
	who := &wirev1.InfoResponse{Id: id, Version: r.version, Api: wire.API(), Services: []string{wire.ServiceChannel}}
	switch r.how {
	case "pulse", "mute", "babbler":
		who.Capabilities = []string{wire.CapabilityHealth, "something of later"}
	case "stranded":
		select {}
	case "later":
		who.Api = "2.0"
	}
	return who, nil
}

// Health tells how it is; "mute" never does, and "babbler" does nothing else.
func (r *rogue) Health(_ *wirev1.HealthRequest, out grpc.ServerStreamingServer[wirev1.HealthResponse]) error {
	for i := 0; ; i++ {
		h := &wirev1.HealthResponse{Ok: !r.ill.Load(), Goroutines: 7, Heap: 42}
		switch {
		case r.how == "mute":
			<-out.Context().Done()
			return nil
		case r.how == "babbler":
			h.Ok, h.Key, h.Detail = i%2 == 0, "<script>", strings.Repeat("babble\x1b", 10000)
		case !h.Ok:
			h.Key, h.Params, h.Detail = "rogue.ill", map[string]string{"where": "stomach"}, "ouch\n"
		}
		if err := out.Send(h); err != nil {
			return err
		}
		if r.how != "babbler" {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// Drain of "clinger" never ends.
func (r *rogue) Drain(context.Context, *wirev1.DrainRequest) (*wirev1.DrainResponse, error) {
	if r.how == "clinger" {
		select {}
	}
	return nil, status.Error(codes.Unimplemented, "no")
}

// spill prints without end, and tells how much.
func (r *rogue) spill() {
	long := bytes.Repeat([]byte("x"), 1<<20)
	short := bytes.Repeat([]byte("{}\n"), 1<<10)
	for written, told := 0, 0; ; {
		for _, piece := range [][]byte{long, short} {
			n, err := os.Stderr.Write(piece)
			check(err)
			if written += n; written-told > 4<<20 {
				told = written
				r.report("spilled", fmt.Sprint(written>>20))
			}
		}
	}
}

func (r *rogue) Configure(context.Context, *wirev1.ConfigureRequest) (*wirev1.ConfigureResponse, error) {
	r.tell.Do(func() {
		go func() {
			switch r.how {
			case "stranger":
				r.stranger()
			case "flood":
				r.flood()
			case "logs":
				r.logs()
			case "spill":
				r.spill()
			case "orphan":
				c := exec.Command("/bin/sleep", "600")
				c.Stderr, c.Stdout = os.Stderr, os.Stdout
				check(c.Start())
				r.report("orphan", fmt.Sprint(c.Process.Pid))
				time.Sleep(100 * time.Millisecond)
				os.Exit(7)
			}
		}()
	})
	switch r.how {
	case "sender", "aside", "pulse", "babbler", "clinger":
	default:
		return &wirev1.ConfigureResponse{}, nil
	}
	return &wirev1.ConfigureResponse{Accounts: []*wirev1.Account{{Account: "office"}}}, nil
}

func (r *rogue) ctx() context.Context { return with(r.token) }

func with(token string) context.Context {
	return metadata.AppendToOutgoingContext(context.Background(), "karov-token", token)
}

// report makes a finding visible to the test, as the health of an account.
func (r *rogue) report(what, finding string) {
	_, err := r.host.Report(r.ctx(), &wirev1.ReportRequest{Account: what, Ok: true, Detail: finding})
	check(err)
}

func (r *rogue) code(what string, err error) {
	f := wire.FaultOf(err)
	r.report(what, fmt.Sprintf("%s %s", status.Code(err), f.GetKey()))
}

func cursorWith(socket, token string) string {
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	_, err = wirev1.NewHostClient(conn).Cursor(with(token), &wirev1.CursorRequest{Account: "office"})
	return status.Code(err).String()
}

// stranger tries to get in without being who it should be.
func (r *rogue) stranger() {
	socket := os.Getenv(wire.EnvHostSocket)
	r.report("right token", cursorWith(socket, r.token))
	r.report("wrong token", cursorWith(socket, strings.Repeat("0", len(r.token))))
	_, err := r.host.Cursor(context.Background(), &wirev1.CursorRequest{Account: "office"})
	r.code("no token", err)
	out, err := exec.Command(os.Args[0], socket, r.token).Output()
	check(err)
	r.report("other process", strings.TrimSpace(string(out)))
	r.report("environment", strings.Join(os.Environ(), " "))
	wd, err := os.Getwd()
	check(err)
	var st syscall.Stat_t
	check(syscall.Stat(wd, &st))
	r.report("folder", fmt.Sprintf("%o", st.Mode&0o777))
	_, err = r.host.Cursor(r.ctx(), &wirev1.CursorRequest{Channel: "other", Account: "office"})
	r.code("other channel", err)
	_, err = r.host.SaveCursor(r.ctx(), &wirev1.SaveCursorRequest{Account: "office", Cursor: strings.Repeat("x", 65<<10)})
	r.code("long cursor", err)
	files, err := r.host.ReadFile(r.ctx(), &wirev1.ReadFileRequest{Handle: strings.Repeat("a", 64)})
	check(err)
	_, err = files.Recv()
	r.code("foreign file", err)
	r.report("done", "")
}

// head is a message that is good but for what the caller changes.
func head(change func(*wirev1.Message)) *wirev1.ReceiveRequest {
	m := &wirev1.Message{Account: "office", ExternalId: "x", From: &wirev1.Party{Handle: "a@example.com"}}
	change(m)
	return &wirev1.ReceiveRequest{Step: &wirev1.ReceiveRequest_Message{Message: m}}
}

func chunk(part wirev1.Part, index uint32, data []byte) *wirev1.ReceiveRequest {
	return &wirev1.ReceiveRequest{Step: &wirev1.ReceiveRequest_Chunk{
		Chunk: &wirev1.Chunk{Part: part, Attachment: index, Data: data},
	}}
}

func (r *rogue) deliver(what string, steps ...*wirev1.ReceiveRequest) {
	s, err := r.host.Receive(r.ctx())
	check(err)
	for _, step := range steps {
		if s.Send(step) != nil {
			break
		}
	}
	_, err = s.CloseAndRecv()
	r.code(what, err)
}

// flood sends what is over each limit.
func (r *rogue) flood() {
	same := func(*wirev1.Message) {}
	files := func(n int) func(*wirev1.Message) {
		return func(m *wirev1.Message) {
			for range n {
				m.Attachments = append(m.Attachments, &wirev1.File{Name: "f"})
			}
		}
	}
	full := bytes.Repeat([]byte("x"), wire.ChunkSize)
	many := func(n int, part wirev1.Part) (out []*wirev1.ReceiveRequest) {
		for range n {
			out = append(out, chunk(part, 0, full))
		}
		return out
	}
	r.deliver("nothing")
	r.deliver("chunk first", chunk(wirev1.Part_PART_TEXT, 0, full))
	r.deliver("two heads", head(same), head(same))
	r.deliver("message over 4 MB", head(func(m *wirev1.Message) { m.Subject = strings.Repeat("x", 5<<20) }))
	r.deliver("long chunk", head(same), chunk(wirev1.Part_PART_TEXT, 0, append(full, 'x')))
	r.deliver("long text", append([]*wirev1.ReceiveRequest{head(same)}, many(21, wirev1.Part_PART_TEXT)...)...)
	r.deliver("long attachment", append([]*wirev1.ReceiveRequest{head(files(1))}, many(257, wirev1.Part_PART_ATTACHMENT)...)...)
	r.deliver("many attachments", head(files(501)))
	r.deliver("wrong order", head(files(2)), chunk(wirev1.Part_PART_ATTACHMENT, 1, full), chunk(wirev1.Part_PART_ATTACHMENT, 0, full))
	r.deliver("unknown part", head(same), chunk(99, 0, full))
	r.deliver("no id", head(func(m *wirev1.Message) { m.ExternalId = "" }))
	r.deliver("no sender", head(func(m *wirev1.Message) { m.From = nil }))
	r.deliver("hostile notice", head(func(m *wirev1.Message) { m.Notice = "<script>" }))
	r.deliver("broken text", head(func(m *wirev1.Message) { m.ExternalId = "broken" }), chunk(wirev1.Part_PART_TEXT, 0, []byte("a\xffb")))
	r.deliver("whole", head(func(m *wirev1.Message) { m.ExternalId = "whole"; m.HasRaw = true; files(2)(m) }),
		chunk(wirev1.Part_PART_RAW, 0, []byte("raw")), chunk(wirev1.Part_PART_TEXT, 0, []byte("te")),
		chunk(wirev1.Part_PART_TEXT, 0, []byte("xt")), chunk(wirev1.Part_PART_HTML, 0, []byte("<b>")),
		chunk(wirev1.Part_PART_ATTACHMENT, 1, []byte("second")))
	r.report("done", "")
}

// logs tries to forge lines.
func (r *rogue) logs() {
	lines := []*wirev1.LogLine{
		{Level: wirev1.Level_LEVEL_WARN, Message: "one\ntime=now level=ERROR msg=forged\x1b[31m\u202e"},
		{Level: wirev1.Level_LEVEL_DEBUG, Message: "quiet", Attrs: map[string]string{"plugin": "someone-else", "a\nb": "c\nd"}},
		{Level: wirev1.Level_LEVEL_ERROR, Message: strings.Repeat("long", 5000)},
	}
	_, err := r.host.Log(r.ctx(), &wirev1.LogRequest{Lines: lines})
	check(err)
	fmt.Fprintln(os.Stderr, "[WARN] printed\rforged")
	fmt.Fprintln(os.Stderr, `{"level":"ERROR","msg":"printed as json"}`)
	fmt.Fprintln(os.Stderr, strings.Repeat("endless", 10000))
	for range 100 {
		_, err := r.host.Log(r.ctx(), &wirev1.LogRequest{Lines: []*wirev1.LogLine{
			{Message: "flood"}, {Message: "flood"}, {Message: "flood"}, {Message: "flood"}, {Message: "flood"}, {Message: "flood"},
		}})
		check(err)
	}
	r.report("done", "")
}

// Send answers as the text says.
func (r *rogue) Send(ctx context.Context, m *wirev1.SendRequest) (*wirev1.SendResponse, error) {
	switch m.GetText() {
	case "invalid":
		return nil, status.Error(codes.InvalidArgument, "no\nsuch address")
	case "forbidden":
		return nil, status.Error(codes.PermissionDenied, "blocked")
	case "not found":
		return nil, status.Error(codes.NotFound, "gone")
	case "fault":
		return nil, wire.FaultError(&wirev1.Fault{
			Kind: wirev1.Kind_KIND_TOO_LARGE, Key: "rogue.too-large", Params: map[string]string{"limit": "5"}, Detail: "552 too big",
		})
	case "hostile key":
		return nil, wire.FaultError(&wirev1.Fault{Kind: wirev1.Kind_KIND_UNAVAILABLE, Key: "<script>"})
	case "plain":
		return nil, fmt.Errorf("something")
	case "giant":
		return &wirev1.SendResponse{ExternalId: strings.Repeat("x", 100<<20)}, nil
	case "ill", "well":
		r.ill.Store(m.GetText() == "ill")
	case "die":
		os.Exit(9)
	case "hang":
		<-ctx.Done()
		time.Sleep(time.Hour)
	case "file":
		s, err := r.host.ReadFile(r.ctx(), &wirev1.ReadFileRequest{Handle: m.GetAttachments()[0].GetHandle()})
		if err != nil {
			return nil, err
		}
		got, err := s.Recv()
		if err != nil {
			return nil, err
		}
		return &wirev1.SendResponse{ExternalId: string(got.GetData())}, nil
	}
	return &wirev1.SendResponse{ExternalId: m.GetIdempotencyKey()}, nil
}
