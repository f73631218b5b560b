package plugin

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// line serves a plugin on a unix socket, as its session does, and gives a connection of this process; another each time.
func (x *services) line(t testing.TB) *grpc.ClientConn {
	t.Helper()
	if x.s.token == "" {
		x.s.token, x.s.peer = wire.NewToken(), wire.Peer{PID: os.Getpid, UID: os.Geteuid()}
	}
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, hostSocket)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := x.s.newServer()
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	conn, err := grpc.NewClient("unix:"+path, wire.DialOptions(x.s.token, x.s.peer)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-served
		_ = os.RemoveAll(dir)
	})
	return conn
}

// TestTooManyCallsAreRefused floods the host: what is over the bucket is told so, the office hears of it once, and a
// while later all is well again.
func TestTooManyCallsAreRefused(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	kv := wirev1.NewKVClient(x.line(t))
	get := func() error {
		_, err := kv.Get(t.Context(), &wirev1.KVGetRequest{Key: []byte("k")})
		return err
	}
	for range callsInABurst { // the clock stands still
		b.must(get())
	}
	for range 3 {
		wantTold(t, "one too many", get(), "TOO_MANY plugin.too-many-calls")
	}
	stream, err := wirev1.NewBlobsClient(x.line(t)).Put(t.Context())
	b.must(err)
	_, err = stream.CloseAndRecv()
	wantTold(t, "a stream too many", err, "TOO_MANY plugin.too-many-calls")
	if told := b.told(); len(told) != 1 || told[0] != "il.example.workshop too-many-calls " {
		t.Errorf("the office heard %v", told)
	}
	b.pass(time.Second)
	b.must(get())
	other := workshopManifest()
	other.ID = "il.example.other"
	if _, err := b.plugin(other).kv.Get(t.Context(), &wirev1.KVGetRequest{Key: []byte("k")}); err != nil {
		t.Errorf("another plugin: %v", err)
	}
}

// TestTooManyCallsAtOnce holds calls open over several connections.
func TestTooManyCallsAtOnce(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	first := wirev1.NewBlobsClient(x.line(t))
	var open []grpc.ClientStreamingClient[wirev1.BlobPutRequest, wirev1.BlobPutResponse]
	for _, client := range []wirev1.BlobsClient{first, wirev1.NewBlobsClient(x.line(t))} {
		for range callsAtOnce / 2 {
			s, err := client.Put(t.Context())
			b.must(err)
			b.must(s.Send(&wirev1.BlobPutRequest{Name: "f", Type: "text/plain", Data: []byte("x")}))
			open = append(open, s)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); x.s.limit.atOnce.Load() < callsAtOnce; {
		if time.Now().After(deadline) {
			t.Fatalf("only %d calls came through", x.s.limit.atOnce.Load())
		}
		time.Sleep(time.Millisecond)
	}
	kv := wirev1.NewKVClient(x.line(t))
	_, err := kv.Get(t.Context(), &wirev1.KVGetRequest{Key: []byte("k")})
	wantTold(t, "one more", err, "TOO_MANY plugin.too-many-calls")
	var wait sync.WaitGroup
	for _, s := range open {
		wait.Go(func() {
			if _, err := s.CloseAndRecv(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if _, err := kv.Get(t.Context(), &wirev1.KVGetRequest{Key: []byte("k")}); err != nil {
		t.Errorf("when they are done: %v", err)
	}
	if n := x.s.limit.atOnce.Load(); n != 0 {
		t.Errorf("%d calls are counted as open", n)
	}
}

// TestMadeUpKindsFloodNoAudit asks for thousands of entities that are not there: the office hears of some.
func TestMadeUpKindsFloodNoAudit(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	for i := range 3 * maxToldKinds {
		_, err := x.Get(t.Context(), &wirev1.GetRequest{Entity: fmt.Sprint("made.up", i)})
		wantTold(t, "an entity that is not there", err, "FORBIDDEN plugin.not-granted")
	}
	if told := b.told(); len(told) != tellsInABurst {
		t.Errorf("the office heard %d times", len(told))
	}
}

// TestListsWaitForEachOther: a plugin reads no more lists at once than it may, and one that waits too long is told so.
func TestListsWaitForEachOther(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	var ends []func()
	for range listsAtOnce {
		done, err := x.s.limit.list(t.Context())
		b.must(err)
		ends = append(ends, done)
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := x.Query(late, &wirev1.QueryRequest{Entity: "contact"})
	wantTold(t, "a list too many", err, "UNAVAILABLE plugin.too-many-calls")
	_, err = x.Count(late, &wirev1.CountRequest{Entity: "contact"})
	wantTold(t, "a count too many", err, "UNAVAILABLE plugin.too-many-calls")
	ends[0]()
	if _, err := x.Query(t.Context(), &wirev1.QueryRequest{Entity: "contact"}); err != nil {
		t.Error(err)
	}
}

// TestMessagesOverTheLimit are told to the office: gRPC refuses them before a service sees them.
func TestMessagesOverTheLimit(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	conn := x.line(t)
	huge := grpc.MaxCallSendMsgSize(100 << 20)
	_, err := wirev1.NewKVClient(conn).Put(t.Context(), &wirev1.KVPutRequest{Writes: []*wirev1.KVWrite{put("k", strings.Repeat("x", 5<<20), 0)}}, huge)
	wantTold(t, "5 MB at once", err, "TOO_MANY ")
	wantHeard(t, b, "il.example.workshop message-too-long ")
	b.pass(tellEvery)
	stream, err := wirev1.NewBlobsClient(conn).Put(t.Context(), huge)
	b.must(err)
	_ = stream.Send(&wirev1.BlobPutRequest{Name: "f", Type: "text/plain", Data: make([]byte, 5<<20)})
	_, err = stream.CloseAndRecv()
	if err == nil {
		t.Error("5 MB in one chunk went through")
	}
	wantHeard(t, b, "il.example.workshop message-too-long ")
}

// wantHeard waits for what the office hears a moment after the plugin was answered.
func wantHeard(t *testing.T, b *bench, want string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if told := b.told(); len(told) > 0 {
			if told[0] != want {
				t.Errorf("the office heard %q", told)
			}
			return
		}
	}
	t.Errorf("the office never heard %q", want)
}

// TestTheLineCarriesTheCall sends a handle back over a real line.
func TestTheLineCarriesTheCall(t *testing.T) {
	b := newBench(t)
	x := b.plugin(workshopManifest())
	records := wirev1.NewRecordsClient(x.line(t))
	r := b.customer(map[string]any{"name": "Yossi's", "owner": "yossi"})
	ask := func(ctx context.Context) int {
		t.Helper()
		got, err := records.Get(ctx, &wirev1.GetRequest{Entity: "contact", Ids: []string{r.ID.String()}})
		b.must(err)
		return len(got.Records)
	}
	for who, want := range map[string]int{"dana": 0, "yossi": 1} {
		call, done := x.s.asCaller(b.as(who, "agent"))
		if got := ask(call); got != want {
			t.Errorf("%s sees %d", who, got)
		}
		done()
	}
	if got := ask(t.Context()); got != 1 {
		t.Errorf("the plugin itself sees %d", got)
	}
}
