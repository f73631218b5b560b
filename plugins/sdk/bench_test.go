package sdk

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const underWay = 256 // events sent and not done with, as the contract allows

// pump sends n events over a stream with at most underWay of them open, and returns when the last one is done with.
func pump(b *testing.B, client wirev1.HooksClient, n int) time.Duration {
	b.Helper()
	stream, err := client.After(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	room := make(chan struct{}, underWay)
	began := time.Now()
	go func() {
		e := &wirev1.Event{
			Name: "contact.changed", Record: &wirev1.RecordRef{Entity: "contact", Id: "01000000-0000-7000-8000-000000000001"},
			Fields: []string{"city", "phones"}, Contact: "01000000-0000-7000-8000-000000000001", Actor: "system",
		}
		for seq := range n {
			room <- struct{}{}
			e.Seq = uint64(seq + 1)
			if err := stream.Send(e); err != nil {
				return // Recv says why
			}
		}
	}()
	for at := uint64(0); at < uint64(n); {
		done, err := stream.Recv()
		if err != nil {
			b.Fatal(err)
		}
		for ; at < done.GetSeq(); at++ {
			<-room
		}
	}
	return time.Since(began)
}

// bareHooks is a plugin without the SDK: what one stream and one call can do at most.
type bareHooks struct {
	wirev1.UnimplementedHooksServer
	wirev1.UnimplementedActionsServer
	host wirev1.RecordsClient
}

func (bareHooks) After(stream grpc.BidiStreamingServer[wirev1.Event, wirev1.EventDone]) error {
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

func (h bareHooks) Act(ctx context.Context, r *wirev1.ActRequest) (*wirev1.ActResponse, error) {
	_, err := h.host.Get(ctx, &wirev1.GetRequest{Entity: "contact", Ids: []string{"contact-0000"}})
	return &wirev1.ActResponse{}, err
}

// newBare serves bareHooks and the same host on plain unix sockets: no token, no check of the peer, no SDK.
func newBare(b *testing.B, k *karov) *grpc.ClientConn {
	b.Helper()
	dir := newSocket(b).dir
	serve := func(name string, register func(*grpc.Server)) *grpc.ClientConn {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		g := grpc.NewServer()
		register(g)
		go func() { _ = g.Serve(l) }()
		b.Cleanup(g.Stop)
		conn, err := grpc.NewClient("unix:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		return conn
	}
	bare := bareHooks{host: wirev1.NewRecordsClient(serve("host", func(g *grpc.Server) { wirev1.RegisterRecordsServer(g, k) }))}
	return serve("plugin", func(g *grpc.Server) {
		wirev1.RegisterHooksServer(g, bare)
		wirev1.RegisterActionsServer(g, bare)
	})
}

// BenchmarkEvents compares the stream of events with a bare one in both directions, by turns in one run: x-bare is its
// throughput over the bare one's.
func BenchmarkEvents(b *testing.B) {
	k := newKarov(b, Plugin{After: func(context.Context, Host, Event) error { return nil }})
	ours, bare := wirev1.NewHooksClient(k.plugin), wirev1.NewHooksClient(newBare(b, k))
	pump(b, ours, 1000)
	pump(b, bare, 1000)
	var us, they time.Duration
	for b.Loop() {
		us += pump(b, ours, 2000)
		they += pump(b, bare, 2000)
	}
	b.ReportMetric(float64(b.N)*2000/us.Seconds(), "events/s")
	b.ReportMetric(they.Seconds()/us.Seconds(), "x-bare")
}

// BenchmarkCallWithCallback compares an action that reads one record with the same on bare gRPC, by turns in one run:
// x-bare is the time it takes over the bare one's.
func BenchmarkCallWithCallback(b *testing.B) {
	k := newKarov(b, Plugin{Actions: map[string]ActionFunc{"a": func(ctx context.Context, h Host, _ Press) (Outcome, error) {
		_, err := h.Records().Get(ctx, "contact", "contact-0000")
		return Outcome{}, err
	}}})
	k.add("contact", 1)
	ours, bare := wirev1.NewActionsClient(k.plugin), wirev1.NewActionsClient(newBare(b, k))
	act := func(c wirev1.ActionsClient) time.Duration {
		began := time.Now()
		if _, err := c.Act(b.Context(), &wirev1.ActRequest{Action: "a"}); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	var us, they time.Duration
	for b.Loop() {
		us += act(ours)
		they += act(bare)
	}
	b.ReportMetric(us.Seconds()/they.Seconds(), "x-bare")
}
