package sdk

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/karov-crm/karov/plugins/wire"
)

// Plugin is everything that a plugin may be. Only Info is needed; what else is filled is what the plugin serves, and has
// to be declared in its plugin.yaml under the same names.
//
// All functions may be called from several goroutines at once, except Configure and Start. Each gets a ctx that carries
// for whom Karov calls: what a handler asks of the Host with it is done with the rights of that person, and never with
// more than the plugin was granted (see AsPlugin). A panic in one of them is logged with its place and answered as an
// internal error; the plugin lives on. A panic in a goroutine of the plugin's own ends the process, and Karov starts it
// again.
//
// While the plugin drains (an upgrade, a stop), nothing new is begun, what was begun may finish, and the ctx of jobs,
// Start and Channel.Run ends.
type Plugin struct {
	Info Info

	// Configure takes a new configuration, before everything else and again on each change, never at the same time as
	// itself. It must answer within 10 seconds and therefore not talk to the world: a wrong value is an Invalid error. What
	// the world says about it comes later, by Health, or by Host.Report for the accounts of a channel.
	Configure func(ctx context.Context, c Config) error

	// Start is for what runs all the time: a connection that is kept, a queue that is read. It begins after each Configure
	// that went well and must leave when ctx ends. After an error it is started again with growing pauses; nil says that
	// there is nothing more to do until the next Configure. It acts as the plugin itself.
	Start func(ctx context.Context, h Host) error

	// Channel carries messages between the office and the world.
	Channel Channel

	// Before are asked before writes, by entity (plugin.yaml: hooks.before).
	Before map[string]BeforeFunc

	// After hears what happened (plugin.yaml: hooks.after), one event at a time, in order, each at least once. Nil says that
	// the plugin is done with it. After an error the same event comes again, after a pause that grows, and all that follow
	// wait behind it: return one only for what may work later. It acts as the plugin itself.
	After func(ctx context.Context, h Host, e Event) error

	// Actions are the buttons, by name (plugin.yaml: actions).
	Actions map[string]ActionFunc

	// Views are what is shown, by name (plugin.yaml: views).
	Views map[string]ViewFunc

	// Jobs are what is done at a time, or later, by name (plugin.yaml: jobs).
	Jobs map[string]JobFunc

	// HTTP answers the routes below /p/<plugin id>/ (plugin.yaml: http); the path of a request begins behind that. ActorOf
	// tells who asks, false on a public route, and HostOf gives the Host. Cookies and the authorisation of the office's own
	// pages never come here. The answer must begin within 10 seconds; Flush sends what there is. Bodies have at most 100 MB
	// both ways and are never held in memory whole. Content-Type text/html is shown without script.
	HTTP http.Handler

	// Import are readers of other programs' files, by name (plugin.yaml: imports).
	Import map[string]ImportFunc

	// Migrate brings the plugin's data from one version (plugin.yaml: data) to the next.
	Migrate MigrateFunc

	// Health tells how the plugin is. It is asked about every second and must be quick; without it, a plugin that answers
	// is well.
	Health func(ctx context.Context) State
}

// Run serves the plugin until Karov goes away, and is all that a plugin's main function calls. Started by hand, it says
// what the program is and ends.
func Run(p Plugin) {
	if os.Getenv(wire.EnvCookie) != wire.Cookie {
		fmt.Fprintf(os.Stderr, "%s %s is a plugin of Karov: Karov starts it, a person cannot.\n", p.Info.ID, p.Info.Version)
		os.Exit(2)
	}
	if err := p.Serve(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "[ERROR] %s: %v\n", p.Info.ID, err)
		os.Exit(1)
	}
}

// Main is Run for a plugin that is a channel and nothing else.
func Main(info Info, ch Channel) { Run(Plugin{Info: info, Channel: ch}) }

// Serve is Plugin.Serve for a plugin that is a channel and nothing else.
func Serve(ctx context.Context, info Info, ch Channel) error {
	return Plugin{Info: info, Channel: ch}.Serve(ctx)
}
