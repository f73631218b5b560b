package sdk

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Deadlines of the calls to the host, where the plugin's own context has none that is nearer.
const (
	deliverWithin = 10 * time.Minute
	callWithin    = 30 * time.Second
)

// Actor is for whom Karov calls: a person, another plugin, or Karov itself. It is for greeting, language and logs; what
// may be done for this actor Karov decides, by the ctx that comes with the call.
type Actor struct {
	ID       string // an account's id, "plugin:<id>" or "system"
	Name     string // for people to read
	Language string // "he", "ru" or "en"
}

// callKey is the key of a call in a context.
type callKey struct{}

// standing is what a handler's ctx carries: the host, and for whom Karov called.
type standing struct {
	host   Host
	handle string // opaque; "" where the plugin acts as itself
	actor  Actor
	over   *atomic.Bool // the call ended, and the handle with it
}

func standingOf(ctx context.Context) standing {
	s, _ := ctx.Value(callKey{}).(standing)
	return s
}

func withStanding(ctx context.Context, s standing) context.Context {
	return context.WithValue(ctx, callKey{}, s)
}

// withActor says for whom a call is made, once its first message told.
func withActor(ctx context.Context, a *wirev1.Actor) context.Context {
	s := standingOf(ctx)
	s.actor = plainActor(a)
	return withStanding(ctx, s)
}

func plainActor(a *wirev1.Actor) Actor {
	return Actor{ID: a.GetId(), Name: a.GetName(), Language: a.GetLanguage()}
}

// HostOf gives the host to code that only has the ctx of a handler or of a request: an http.Handler, an importer. It is
// nil for a ctx that comes from elsewhere.
func HostOf(ctx context.Context) Host { return standingOf(ctx).host }

// ActorOf tells for whom a handler was called; false on a public route, and where nobody in particular asked.
func ActorOf(ctx context.Context) (Actor, bool) {
	a := standingOf(ctx).actor
	return a, a.ID != ""
}

// AsPlugin gives a ctx whose calls are the plugin's own: they may do all that the plugin was granted, whatever the
// person for whom the handler was called may. Use it where that is meant: to count what a person must not see, to read
// the plugin's own settings.
//
// A person's ctx is good until the handler returned. What goes on longer needs a ctx of its own:
//
//	go sync(sdk.AsPlugin(context.WithoutCancel(ctx)))
//
// better still, a job: Office.Enqueue survives a fall.
func AsPlugin(ctx context.Context) context.Context {
	return withStanding(ctx, standing{host: HostOf(ctx)})
}

// outgoing puts the handle of ctx's call on a call to the host. A handle whose call is over is refused here: going on
// without it would do for the plugin what was begun for a person.
func outgoing(ctx context.Context) (context.Context, error) {
	s := standingOf(ctx)
	if s.handle == "" {
		return ctx, nil
	}
	if s.over.Load() {
		return nil, local(wirev1.Kind_KIND_FORBIDDEN, "call.over", errCallOver)
	}
	return metadata.AppendToOutgoingContext(ctx, wire.CallKey, s.handle), nil
}

// clientOptions make every call to the host carry the handle of its context.
func clientOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, q, a any, c *grpc.ClientConn,
			next grpc.UnaryInvoker, o ...grpc.CallOption,
		) error {
			ctx, err := outgoing(ctx)
			if err != nil {
				return err
			}
			return next(ctx, method, q, a, c, o...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string,
			next grpc.Streamer, o ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			ctx, err := outgoing(ctx)
			if err != nil {
				return nil, err
			}
			return next(ctx, d, c, method, o...)
		}),
	}
}

// call makes one call to the host within callWithin, or sooner.
func call[Q, A any](ctx context.Context, method func(context.Context, Q, ...grpc.CallOption) (A, error), ask Q) (A, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	answer, err := method(ctx, ask)
	return answer, fromWire(err)
}
