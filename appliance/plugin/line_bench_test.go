package plugin

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// bare is a plugin that draws a view with one callback, on gRPC alone: a server on a unix socket and a client.
type bare struct {
	wirev1.UnimplementedViewsServer
	wirev1.UnimplementedRecordsServer
	records wirev1.RecordsClient // asked while a view is drawn
	answer  *wirev1.GetResponse
	id      string
}

// Render asks for one record and answers.
func (v *bare) Render(ctx context.Context, _ *wirev1.RenderRequest) (*wirev1.RenderResponse, error) {
	in, _ := metadata.FromIncomingContext(ctx)
	if handle := in.Get(wire.CallKey); len(handle) > 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, wire.CallKey, handle[0])
	}
	if _, err := v.records.Get(ctx, &wirev1.GetRequest{Entity: "contact", Ids: []string{v.id}}); err != nil {
		return nil, err
	}
	return &wirev1.RenderResponse{}, nil
}

// Get answers with what was put ready.
func (v *bare) Get(context.Context, *wirev1.GetRequest) (*wirev1.GetResponse, error) {
	return v.answer, nil
}

// onSocket serves on a unix socket of its own and connects to it.
func onSocket(b *testing.B, server *grpc.Server, options ...grpc.DialOption) *grpc.ClientConn {
	b.Helper()
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		b.Fatal(err)
	}
	go func() { _ = server.Serve(l) }() // ends with Stop
	conn, err := grpc.NewClient("unix:"+filepath.Join(dir, "s"), options...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		_ = os.RemoveAll(dir)
	})
	return conn
}

// BenchmarkCallWithCallback draws a view for a person, by a plugin that reads one record on his behalf: bare is two bare
// calls over unix sockets that carry the same messages, karov is the line with its token and peer checks, the handle, the
// grant, the rights, the store and the journal. Ratio is karov's time to that of bare, each measured in turns.
func BenchmarkCallWithCallback(b *testing.B) {
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	office := newBench(b)
	x := office.plugin(workshopManifest())
	x.s.limit.calls = rate.NewLimiter(rate.Inf, 0)
	r := office.customer(record.Values{"name": "Dana Levi", "owner": "dana", "note": "calls in the morning", "phones": []string{"+972501112233"}})
	dana := office.as("dana", access.Agent)

	karov := &bare{records: wirev1.NewRecordsClient(x.line(b)), id: r.ID.String()}
	server := grpc.NewServer(wire.ServerOptions(x.s.token, x.s.peer)...)
	wirev1.RegisterViewsServer(server, karov)
	views := wirev1.NewViewsClient(onSocket(b, server, wire.DialOptions(x.s.token, x.s.peer)...))

	answer, err := x.Get(b.Context(), &wirev1.GetRequest{Entity: "contact", Ids: []string{r.ID.String()}})
	if err != nil {
		b.Fatal(err)
	}
	floor, host := &bare{answer: answer, id: r.ID.String()}, grpc.NewServer()
	wirev1.RegisterRecordsServer(host, floor)
	floor.records = wirev1.NewRecordsClient(onSocket(b, host, plain))
	plugin := grpc.NewServer()
	wirev1.RegisterViewsServer(plugin, floor)
	bareViews := wirev1.NewViewsClient(onSocket(b, plugin, plain))

	call := func(views wirev1.ViewsClient, ctx context.Context) time.Duration {
		began := time.Now()
		if _, err := views.Render(ctx, &wirev1.RenderRequest{View: "customers"}); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	var ours, theirs time.Duration
	for b.Loop() {
		ctx, done := x.s.asCaller(dana)
		ours += call(views, ctx)
		done()
		theirs += call(bareViews, b.Context())
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "karov-ns/op")
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), "bare-ns/op")
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
}
