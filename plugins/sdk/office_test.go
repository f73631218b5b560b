package sdk

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// karov is the other side of the line: the host's services over memory, served on a real unix socket, and a connection
// to the plugin's own.
type karov struct {
	wirev1.UnimplementedHostServer
	wirev1.UnimplementedRecordsServer
	plugin *grpc.ClientConn
	out    egress
	server *server

	mu      sync.Mutex
	records []*wirev1.Record
	answers map[string]*wirev1.WriteResponse // by idempotency key
	handles []string                         // that came with the calls, "" for none
	methods []string
	lines   []*wirev1.LogLine
	audited []string
	jobs    map[string]*wirev1.EnqueueRequest
	keys    map[string]*wirev1.KVEntry
	files   map[string][]byte
	hidden  map[string][]byte // secrets
}

// socket is a fresh folder for sockets and a token.
type socket struct {
	dir   string
	token wire.Token
	peer  wire.Peer
}

func newSocket(t testing.TB) socket {
	t.Helper()
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return socket{dir: dir, token: wire.NewToken(), peer: wire.Peer{PID: os.Getpid, UID: os.Geteuid()}}
}

// serve serves what register adds on a unix socket.
func (s socket) serve(t testing.TB, name string, register func(*grpc.Server), more ...grpc.ServerOption) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(s.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(append(wire.ServerOptions(s.token, s.peer), more...)...)
	register(g)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
}

func (s socket) dial(t testing.TB, name string, more ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+filepath.Join(s.dir, name), append(wire.DialOptions(s.token, s.peer), more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func newOffice() *karov {
	return &karov{
		answers: map[string]*wirev1.WriteResponse{}, jobs: map[string]*wirev1.EnqueueRequest{}, keys: map[string]*wirev1.KVEntry{},
		files: map[string][]byte{}, hidden: map[string][]byte{},
	}
}

// serve serves the host.
func (k *karov) serve(t testing.TB, at socket) {
	t.Helper()
	at.serve(t, "host", func(g *grpc.Server) {
		wirev1.RegisterHostServer(g, k)
		wirev1.RegisterRecordsServer(g, k)
		wirev1.RegisterKVServer(g, keyValues{karov: k})
		wirev1.RegisterBlobsServer(g, blobStore{karov: k})
		wirev1.RegisterSecretsServer(g, vault{karov: k})
		wirev1.RegisterOfficeServer(g, desk{karov: k})
	}, grpc.ChainUnaryInterceptor(k.unary), grpc.ChainStreamInterceptor(k.stream))
}

// newKarov serves the plugin and the host to each other.
func newKarov(t testing.TB, p Plugin) *karov {
	t.Helper()
	k, at := newOffice(), newSocket(t)
	k.serve(t, at)
	conn := at.dial(t, "host", clientOptions()...)
	logs := newLogQueue(wirev1.NewHostClient(conn))
	k.server = newServer(t.Context(), p, newHost(conn, newLogger(logs), k.out), logs)
	go logs.run(k.server.ctx)
	t.Cleanup(k.server.stop)
	at.serve(t, "plugin", k.server.register, k.server.options()...)
	k.plugin = at.dial(t, "plugin")
	return k
}

func (k *karov) note(ctx context.Context, method string) {
	md, _ := metadata.FromIncomingContext(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !strings.HasSuffix(method, "/Log") {
		k.handles = append(k.handles, strings.Join(md.Get(wire.CallKey), ","))
		k.methods = append(k.methods, method)
	}
}

func (k *karov) unary(ctx context.Context, q any, i *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	k.note(ctx, i.FullMethod)
	return next(ctx, q)
}

func (k *karov) stream(srv any, s grpc.ServerStream, i *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	k.note(s.Context(), i.FullMethod)
	return next(srv, s)
}

// seen gives the handles of the calls since it was asked last.
func (k *karov) seen() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.handles
	k.handles = nil
	return h
}

// as gives a ctx of a call for somebody.
func as(t testing.TB, handle string) context.Context {
	return metadata.AppendToOutgoingContext(t.Context(), wire.CallKey, handle)
}

func refuse(kind wirev1.Kind, key string) error {
	return wire.FaultError(&wirev1.Fault{Kind: kind, Key: key})
}

func (k *karov) Log(_ context.Context, r *wirev1.LogRequest) (*wirev1.LogResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lines = append(k.lines, r.GetLines()...)
	return &wirev1.LogResponse{}, nil
}

// logged waits until a line with these words came.
func (k *karov) logged(t testing.TB, words string) string {
	t.Helper()
	k.server.logs.flush(t.Context())
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, l := range k.lines {
		if strings.Contains(l.GetMessage(), words) {
			return l.GetMessage()
		}
	}
	t.Fatalf("no line says %q; there are %v", words, k.lines)
	return ""
}

// add puts n records of an entity into the office.
func (k *karov) add(entity string, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range n {
		k.records = append(k.records, &wirev1.Record{
			Entity: entity, Id: fmt.Sprintf("%s-%04d", entity, i), Version: 1,
			Values: map[string]*wirev1.Value{"number": {Of: &wirev1.Value_Number{Number: float64(i)}}},
		})
	}
}

func (k *karov) find(entity, id string) *wirev1.Record {
	for _, r := range k.records {
		if r.GetEntity() == entity && r.GetId() == id {
			return r
		}
	}
	return nil
}

func (k *karov) Query(_ context.Context, r *wirev1.QueryRequest) (*wirev1.QueryResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if r.GetEntity() == "secret" {
		return nil, refuse(wirev1.Kind_KIND_FORBIDDEN, "plugin.not-granted")
	}
	if r.GetLimit() < 1 || r.GetLimit() > 200 {
		return nil, refuse(wirev1.Kind_KIND_INVALID, "query.limit")
	}
	out := &wirev1.QueryResponse{}
	for _, one := range k.records {
		if one.GetEntity() != r.GetEntity() || one.GetId() <= r.GetCursor() {
			continue
		}
		if len(out.Records) == int(r.GetLimit()) {
			out.Next = out.Records[len(out.Records)-1].GetId()
			break
		}
		out.Records = append(out.Records, one)
	}
	return out, nil
}

func (k *karov) Get(_ context.Context, r *wirev1.GetRequest) (*wirev1.GetResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(r.GetIds()) > 200 {
		return nil, refuse(wirev1.Kind_KIND_TOO_LARGE, "records.too-many")
	}
	out := &wirev1.GetResponse{}
	for _, id := range r.GetIds() {
		if found := k.find(r.GetEntity(), id); found != nil {
			out.Records = append(out.Records, proto.CloneOf(found))
		}
	}
	return out, nil
}

func (k *karov) Count(_ context.Context, r *wirev1.CountRequest) (*wirev1.CountResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, one := range k.records {
		if one.GetEntity() == r.GetEntity() {
			n++
		}
	}
	return &wirev1.CountResponse{Count: int64(min(n, 1000)), Exact: n <= 1000}, nil
}

func (k *karov) Write(_ context.Context, r *wirev1.WriteRequest) (*wirev1.WriteResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if before := k.answers[r.GetIdempotencyKey()]; before != nil {
		return before, nil
	}
	out := &wirev1.WriteResponse{}
	for _, w := range r.GetWrites() {
		switch {
		case w.GetCreate() != nil:
			one := &wirev1.Record{Entity: w.GetCreate().GetEntity(), Id: fmt.Sprint("new-", len(k.records)), Version: 1}
			one.Values = w.GetCreate().GetValues()
			k.records = append(k.records, one)
			out.Records = append(out.Records, proto.CloneOf(one))
		case w.GetUpdate() != nil:
			one := k.find(w.GetUpdate().GetEntity(), w.GetUpdate().GetId())
			if one == nil {
				return nil, refuse(wirev1.Kind_KIND_NOT_FOUND, "record.not-found")
			}
			if one.GetVersion() != w.GetUpdate().GetVersion() {
				return nil, refuse(wirev1.Kind_KIND_CONFLICT, "record.changed")
			}
			one.Version++
			for name, v := range w.GetUpdate().GetValues() {
				if one.Values[name] = v; v.GetOf() == nil {
					delete(one.Values, name)
				}
			}
			out.Records = append(out.Records, proto.CloneOf(one))
		case w.GetDelete() != nil:
			gone := w.GetDelete()
			k.records = slices.DeleteFunc(k.records, func(one *wirev1.Record) bool { return one.GetId() == gone.GetId() })
			out.Records = append(out.Records, &wirev1.Record{Entity: gone.GetEntity(), Id: gone.GetId()})
		}
	}
	if r.GetIdempotencyKey() != "" {
		k.answers[r.GetIdempotencyKey()] = out
	}
	return out, nil
}

// keyValues is the KV of the office.
type keyValues struct {
	wirev1.UnimplementedKVServer
	*karov
}

func (k keyValues) Get(_ context.Context, r *wirev1.KVGetRequest) (*wirev1.KVEntry, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if e := k.keys[string(r.GetKey())]; e != nil {
		return e, nil
	}
	return &wirev1.KVEntry{Key: r.GetKey()}, nil
}

func (k keyValues) Put(_ context.Context, r *wirev1.KVPutRequest) (*wirev1.KVPutResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range r.GetWrites() {
		if at := k.keys[string(w.GetKey())].GetRevision(); w.GetExpected() >= 0 && at != w.GetExpected() {
			return nil, refuse(wirev1.Kind_KIND_CONFLICT, "kv.changed")
		}
	}
	out := &wirev1.KVPutResponse{}
	for _, w := range r.GetWrites() {
		next := k.keys[string(w.GetKey())].GetRevision() + 1
		if w.GetDelete() {
			delete(k.keys, string(w.GetKey()))
			next = 0
		} else {
			k.keys[string(w.GetKey())] = &wirev1.KVEntry{Key: w.GetKey(), Value: w.GetValue(), Revision: next}
		}
		out.Revisions = append(out.Revisions, next)
	}
	return out, nil
}

func (k keyValues) List(_ context.Context, r *wirev1.KVListRequest) (*wirev1.KVListResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var found []*wirev1.KVEntry
	for _, e := range k.keys {
		order := bytes.Compare(e.GetKey(), r.GetAfter())
		if bytes.HasPrefix(e.GetKey(), r.GetPrefix()) && (len(r.GetAfter()) == 0 || r.GetReverse() == (order < 0) && order != 0) {
			found = append(found, e)
		}
	}
	slices.SortFunc(found, func(a, b *wirev1.KVEntry) int {
		if r.GetReverse() {
			a, b = b, a
		}
		return bytes.Compare(a.GetKey(), b.GetKey())
	})
	out := &wirev1.KVListResponse{Entries: found}
	if n := int(cmp.Or(r.GetLimit(), 100)); len(found) > n {
		out.Entries, out.More = found[:n], true
	}
	return out, nil
}

// blobStore is the Blobs of the office.
type blobStore struct {
	wirev1.UnimplementedBlobsServer
	*karov
}

func (k blobStore) Put(stream grpc.ClientStreamingServer[wirev1.BlobPutRequest, wirev1.BlobPutResponse]) error {
	var file wirev1.BlobRef
	var data []byte
	for i := 0; ; i++ {
		q, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if i == 0 {
			file.Name, file.Type = q.GetName(), q.GetType()
		}
		if len(q.GetData()) > wire.ChunkSize || len(data) > 2<<20 {
			return refuse(wirev1.Kind_KIND_TOO_LARGE, "blob.too-large")
		}
		data = append(data, q.GetData()...)
	}
	file.Blob, file.Size = fmt.Sprintf("%x", sha256.Sum256(data)), int64(len(data))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files[file.Blob] = data
	return stream.SendAndClose(&wirev1.BlobPutResponse{File: &file})
}

func (k blobStore) Open(r *wirev1.BlobOpenRequest, stream grpc.ServerStreamingServer[wirev1.BlobOpenResponse]) error {
	k.mu.Lock()
	data, ok := k.files[r.GetBlob()]
	k.mu.Unlock()
	if !ok {
		return refuse(wirev1.Kind_KIND_NOT_FOUND, "blob.not-found")
	}
	for chunk := range slices.Chunk(data, wire.ChunkSize) {
		if err := stream.Send(&wirev1.BlobOpenResponse{Data: chunk}); err != nil {
			return err
		}
	}
	return nil
}

// vault is the Secrets of the office.
type vault struct {
	wirev1.UnimplementedSecretsServer
	*karov
}

func (k vault) Set(_ context.Context, r *wirev1.SecretSetRequest) (*wirev1.SecretSetResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hidden[r.GetName()] = r.GetValue()
	if len(r.GetValue()) == 0 {
		delete(k.hidden, r.GetName())
	}
	return &wirev1.SecretSetResponse{}, nil
}

func (k vault) Open(_ context.Context, r *wirev1.SecretOpenRequest) (*wirev1.SecretOpenResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	v, ok := k.hidden[r.GetName()]
	if !ok {
		return nil, refuse(wirev1.Kind_KIND_NOT_FOUND, "secret.not-found")
	}
	return &wirev1.SecretOpenResponse{Value: v}, nil
}

func (k vault) MAC(_ context.Context, r *wirev1.SecretMACRequest) (*wirev1.SecretMACResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := hmac.New(sha256.New, k.hidden[r.GetName()])
	h.Write(r.GetData())
	return &wirev1.SecretMACResponse{Mac: h.Sum(nil)}, nil
}

// desk is the Office of the office.
type desk struct {
	wirev1.UnimplementedOfficeServer
	*karov
}

func (k desk) About(context.Context, *wirev1.AboutRequest) (*wirev1.AboutResponse, error) {
	return &wirev1.AboutResponse{Name: "משולש בע״מ", Language: "he", TimeZone: "Asia/Jerusalem", Country: "IL", Currency: "ILS"}, nil
}

func (k desk) Say(_ context.Context, r *wirev1.SayRequest) (*wirev1.SayResponse, error) {
	w := r.GetWords()
	return &wirev1.SayResponse{Text: fmt.Sprint(r.GetLanguage(), ": ", w.GetKey(), w.GetText(), " ", w.GetParams())}, nil
}

func (k desk) Audit(_ context.Context, r *wirev1.AuditRequest) (*wirev1.AuditResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.audited = append(k.audited, fmt.Sprint(r.GetAct(), " ", r.GetRecord().GetId(), " ", r.GetAbout()))
	return &wirev1.AuditResponse{}, nil
}

func (k desk) Emit(_ context.Context, r *wirev1.EmitRequest) (*wirev1.EmitResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.audited = append(k.audited, fmt.Sprint("fact ", r.GetName(), " ", r.GetRecord().GetId(), " ", r.GetAbout()))
	return &wirev1.EmitResponse{}, nil
}

func (k desk) Enqueue(_ context.Context, r *wirev1.EnqueueRequest) (*wirev1.EnqueueResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.jobs[r.GetJob()+"/"+r.GetKey()] = r
	return &wirev1.EnqueueResponse{}, nil
}

func (k desk) Cancel(_ context.Context, r *wirev1.CancelRequest) (*wirev1.CancelResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.jobs, r.GetJob()+"/"+r.GetKey())
	return &wirev1.CancelResponse{}, nil
}
