package wire

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func TestFaultsCrossTheLine(t *testing.T) {
	for number := range wirev1.Kind_name {
		kind := wirev1.Kind(number)
		in := &wirev1.Fault{
			Kind: kind, Key: "mail.refused", Params: map[string]string{"a": "b"}, Detail: "550 no",
			Fields: []*wirev1.Fault_Field{{Name: "imap.host", Key: "field.required"}},
		}
		got := FaultOf(FaultError(in))
		if kind == wirev1.Kind_KIND_UNSPECIFIED {
			kind = wirev1.Kind_KIND_INTERNAL
		}
		if got.Kind != kind || got.Key != in.Key || !maps.Equal(got.Params, in.Params) || got.Detail != in.Detail ||
			len(got.Fields) != 1 || got.Fields[0].Name != "imap.host" {
			t.Errorf("%v came over as %v", in, got)
		}
	}
}

func TestACodeAloneIsEnough(t *testing.T) {
	for kind := range wirev1.Kind_name {
		k := wirev1.Kind(kind)
		if k == wirev1.Kind_KIND_UNSPECIFIED {
			continue
		}
		if got := FaultOf(status.Error(codeOf(k), "words")); got.Kind != k || got.Detail != "words" || got.Key != "" {
			t.Errorf("%v alone came over as %v", codeOf(k), got)
		}
	}
	for _, err := range []error{context.DeadlineExceeded, context.Canceled} {
		if got := FaultOf(err); got.Kind != wirev1.Kind_KIND_UNAVAILABLE {
			t.Errorf("%v is %v", err, got)
		}
	}
	if got := FaultOf(errors.New("x")); got.Kind != wirev1.Kind_KIND_INTERNAL {
		t.Errorf("an error from elsewhere is %v", got)
	}
	if FaultOf(nil) != nil {
		t.Error("no error became a fault")
	}
}

func TestHostileFaultsAreCut(t *testing.T) {
	in := &wirev1.Fault{Key: "<b>", Detail: strings.Repeat("ש", 5000), Params: map[string]string{}}
	for i := range 1000 {
		in.Params[strings.Repeat("k", i)] = strings.Repeat("v", 5000)
		in.Fields = append(in.Fields, &wirev1.Fault_Field{Key: "no key"})
	}
	clean(in)
	if in.Key != "" || len(in.Detail) > maxDetail || len(in.Params) > maxParams || len(in.Fields) > maxParams || in.Fields[0].Key != "" {
		t.Errorf("left over: key %q, detail %d, %d params, %d fields", in.Key, len(in.Detail), len(in.Params), len(in.Fields))
	}
}

func TestKeys(t *testing.T) {
	for key, want := range map[string]bool{
		"mail.refused": true, "a.b-c.d1": true, "mail": false, "": false, "Mail.refused": false, "a..b": false,
		"a.b\n": false, ".a": false, "a." + strings.Repeat("b", 100): false,
	} {
		if ValidKey(key) != want {
			t.Errorf("%q: %v", key, !want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("שלום", 3)
	f.Add("a\xff\xc3", 2)
	f.Add("", 0)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 0 || n > 1000 {
			return
		}
		got := Cut(s, n)
		if !utf8.ValidString(got) || utf8.ValidString(s) && (len(got) > n || !strings.HasPrefix(s, got)) {
			t.Errorf("Cut(%q, %d) = %q", s, n, got)
		}
	})
}

// served serves a health check on a unix socket and tells how a client with these options fares.
func served(t *testing.T, server, client Peer, serverToken, clientToken Token) codes.Code {
	t.Helper()
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(ServerOptions(serverToken, server)...)
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	conn, err := grpc.NewClient("unix:"+path, DialOptions(clientToken, client)...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	return status.Code(err)
}

func TestBothEndsCheckEachOther(t *testing.T) {
	pid := func(n int) func() int { return func() int { return n } }
	self := Peer{PID: pid(os.Getpid()), UID: os.Geteuid()}
	other := Peer{PID: pid(os.Getppid()), UID: os.Geteuid()}
	nobody := Peer{PID: pid(0), UID: os.Geteuid()}
	user := Peer{PID: pid(os.Getpid()), UID: os.Geteuid() + 1}
	a, b := NewToken(), NewToken()
	tests := []struct {
		name                     string
		server, client           Peer
		serverToken, clientToken Token
		want                     codes.Code
	}{
		{"both right", self, self, a, a, codes.OK},
		{"wrong token", self, self, a, b, codes.Unauthenticated},
		{"no token", self, self, a, "", codes.Unauthenticated},
		{"no token on either side", self, self, "", "", codes.Unauthenticated},
		{"server expects another process", other, self, a, a, codes.Unavailable},
		{"server expects nobody yet", nobody, self, a, a, codes.Unavailable},
		{"server expects another user", user, self, a, a, codes.Unavailable},
		{"client expects another process", self, other, a, a, codes.Unavailable},
	}
	for _, test := range tests {
		if got := served(t, test.server, test.client, test.serverToken, test.clientToken); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	if a == b || len(a) != TokenLength {
		t.Errorf("the tokens are %q and %q", a, b)
	}
}
