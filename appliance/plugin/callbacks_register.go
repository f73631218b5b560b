package plugin

import (
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// The services that Karov serves to a plugin beside Host. Each is a type of its own, since several have methods of one
// name; all of them know by c who calls.
type (
	recordsService struct {
		wirev1.UnimplementedRecordsServer
		c *callbacks
	}
	kvService struct {
		wirev1.UnimplementedKVServer
		c *callbacks
	}
	blobsService struct {
		wirev1.UnimplementedBlobsServer
		c *callbacks
	}
	secretsService struct {
		wirev1.UnimplementedSecretsServer
		c *callbacks
	}
	officeService struct {
		wirev1.UnimplementedOfficeServer
		c *callbacks
	}
)

// registerServices adds all services to the server on a session's host socket; first: those of the contract's first
// version.
func registerServices(server *grpc.Server, c *callbacks, first bool) {
	wirev1.RegisterHostServer(server, c)
	if first {
		return
	}
	wirev1.RegisterRecordsServer(server, recordsService{c: c})
	wirev1.RegisterKVServer(server, kvService{c: c})
	wirev1.RegisterBlobsServer(server, blobsService{c: c})
	wirev1.RegisterSecretsServer(server, secretsService{c: c})
	wirev1.RegisterOfficeServer(server, officeService{c: c})
}

// caller is a service that knows by whom it is called.
type caller interface{ of() *callbacks }

func (c *callbacks) of() *callbacks     { return c }
func (s recordsService) of() *callbacks { return s.c }
func (s kvService) of() *callbacks      { return s.c }
func (s blobsService) of() *callbacks   { return s.c }
func (s secretsService) of() *callbacks { return s.c }
func (s officeService) of() *callbacks  { return s.c }
