package wire

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// tokenKey is the metadata that carries the token.
const tokenKey = "karov-token"

// TokenLength is the length of a token's text.
const TokenLength = 64

// Token is the secret of one start of a plugin: 256 bits, as 64 hexadecimal digits.
type Token string

// NewToken makes a token.
func NewToken() Token {
	var b [TokenLength / 2]byte
	_, _ = rand.Read(b[:]) // never fails: the program ends instead
	return Token(hex.EncodeToString(b[:]))
}

// GetRequestMetadata puts the token on each call, as credentials.PerRPCCredentials wants.
func (t Token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{tokenKey: string(t)}, nil
}

// RequireTransportSecurity is false: the line is a unix socket whose peer was checked.
func (t Token) RequireTransportSecurity() bool { return false }

// check refuses a call without the token. An empty token opens nothing.
func (t Token) check(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	got := md.Get(tokenKey)
	if len(got) != 1 || len(t) != TokenLength || subtle.ConstantTimeCompare([]byte(got[0]), []byte(t)) != 1 {
		return status.Error(codes.Unauthenticated, "the token of this start is missing or wrong")
	}
	return nil
}

// Peer says which process is expected at the other end.
type Peer struct {
	PID func() int // asked at each new connection; 0 is "nobody yet" and refuses it
	UID int
}

// ServerOptions are the options of a server at either end: only this peer, only with this token, only within limits.
func ServerOptions(t Token, p Peer) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.Creds(peerCredentials{p}),
		grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := t.check(ctx); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := t.check(s.Context()); err != nil {
				return err
			}
			return next(srv, s)
		}),
	}
}

// DialOptions are the options of a client at either end, the counterpart of ServerOptions.
func DialOptions(t Token, p Peer) []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithTransportCredentials(peerCredentials{p}),
		grpc.WithPerRPCCredentials(t),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
	}
}

// peerCredentials checks, before the first byte, which process is at the other end of a unix socket.
type peerCredentials struct{ want Peer }

// peerInfo is what gRPC keeps about a checked connection.
type peerInfo struct{ credentials.CommonAuthInfo }

// AuthType names the check.
func (peerInfo) AuthType() string { return "peercred" }

// ClientHandshake checks who listens.
func (c peerCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.check(conn)
}

// ServerHandshake checks who connected.
func (c peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c.check(conn)
}

// Info names the protocol.
func (c peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peercred"}
}

// Clone gives a copy.
func (c peerCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName does nothing: a process has no server name.
func (c peerCredentials) OverrideServerName(string) error { return nil }

func (c peerCredentials) check(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	got, err := peerOf(conn)
	if err != nil {
		return nil, nil, fmt.Errorf("ask who is at the other end: %w", err)
	}
	pid := c.want.PID()
	if pid == 0 || int(got.Pid) != pid || int(got.Uid) != c.want.UID {
		return nil, nil, fmt.Errorf("process %d of user %d is not the one expected here", got.Pid, got.Uid)
	}
	return conn, peerInfo{credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}, nil
}

func peerOf(conn net.Conn) (*unix.Ucred, error) {
	u, ok := conn.(syscall.Conn) // who listens may have put something around it
	if !ok || conn.LocalAddr().Network() != "unix" {
		return nil, fmt.Errorf("%s is no unix socket", conn.RemoteAddr().Network())
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var inner error
	if err := raw.Control(func(fd uintptr) {
		cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	return cred, inner
}
