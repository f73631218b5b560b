// Package wire is the contract between Karov and its plugins: the .proto files, the code generated from them (v1), and
// the few lines that both ends of the line must agree on.
//
// It owns the names of the environment, the handshake, the token that each call carries, the check of the peer's
// process, the limits, and how an error crosses the line. The .proto files are the reference manual for a plugin in
// any other language; v1/base.proto begins with how a plugin starts.
//
// It promises that what was released never changes its meaning: field numbers are never used again, and a test
// compares the contract with the one that was released (testdata/v1.binpb).
//
// It will not start processes (appliance/plugin does) and is not for authors of plugins (plugins/sdk is).
package wire

import (
	"context"
	"fmt"
	"strings"

	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// The contract's version, and its limits.
const (
	APIMajor = 1
	APIMinor = 1

	MaxMessage = 4 << 20   // bytes of one gRPC message
	ChunkSize  = 256 << 10 // bytes of one chunk of a stream
)

// The environment of a plugin, beside what go-plugin puts there.
const (
	EnvCookie     = "KAROV_PLUGIN"
	EnvLifeFD     = "KAROV_LIFE_FD"
	EnvHostSocket = "KAROV_HOST_SOCKET"
	EnvEgress     = "KAROV_EGRESS_SOCKET"
	EnvSocketDir  = "PLUGIN_UNIX_SOCKET_DIR"
	EnvProtocols  = "PLUGIN_PROTOCOL_VERSIONS"

	// EgressReason is the header in which the way out says why it let nobody through, as EgressNoHost and its like.
	EgressReason  = "Karov-Reason"
	EgressNoHost  = "no-such-host"
	EgressRefused = "connection-refused"

	// Cookie is the value of EnvCookie. It is no secret: it keeps a person from starting a plugin by hand.
	Cookie = "karov.plugin.v1"
)

// The full names of the services that a plugin may serve, as Info lists them.
const (
	ServiceChannel   = "karov.plugin.v1.Channel"
	ServiceHooks     = "karov.plugin.v1.Hooks"
	ServiceActions   = "karov.plugin.v1.Actions"
	ServiceJobs      = "karov.plugin.v1.Jobs"
	ServiceMigration = "karov.plugin.v1.Migration"
	ServiceImport    = "karov.plugin.v1.Import"
	ServiceViews     = "karov.plugin.v1.Views"
	ServiceHTTP      = "karov.plugin.v1.HTTP"
)

// CallKey is the metadata that stands for the person for whom Karov calls; a plugin sends it back with its own calls.
const CallKey = "karov-call"

// CapabilityHealth is a plugin's that streams its health.
const CapabilityHealth = "health"

// Capabilities are what this Karov can do beyond the contract of version 1.0.
func Capabilities() []string {
	return []string{"records", "kv", "blobs", "secrets", "office", "egress", "hooks", "actions", "jobs", "views", "http", "import", "migration"}
}

// HealthService is the name under which a plugin answers a health check.
const HealthService = goplugin.GRPCServiceName

// API gives the contract's version as it stands in Info.
func API() string { return fmt.Sprintf("%d.%d", APIMajor, APIMinor) }

// Handshake is what both ends give to go-plugin.
func Handshake() goplugin.HandshakeConfig {
	return goplugin.HandshakeConfig{ProtocolVersion: APIMajor, MagicCookieKey: EnvCookie, MagicCookieValue: Cookie}
}

// Line is the one "plugin" that both ends give to go-plugin: on the plugin's side Register adds its services to the
// server, on Karov's side dispensing it gives the connection.
type Line struct {
	goplugin.NetRPCUnsupportedPlugin
	Register func(*grpc.Server)
}

// LineName is the name of Line in go-plugin's set.
const LineName = "karov"

// GRPCServer adds the services of the plugin. The broker stays unused: Karov has a socket of its own for callbacks.
func (l *Line) GRPCServer(_ *goplugin.GRPCBroker, s *grpc.Server) error {
	l.Register(s)
	return nil
}

// GRPCClient gives the *grpc.ClientConn to the plugin.
func (l *Line) GRPCClient(_ context.Context, _ *goplugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}

// Valid makes s fit for a protobuf string: bytes that are no UTF-8 become U+FFFD.
func Valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
