package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/karov-crm/karov/admin/console"
	"github.com/karov-crm/karov/admin/frame"
	"github.com/karov-crm/karov/admin/live"
	"github.com/karov-crm/karov/admin/workspace"
	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/api"
	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/job"
	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/store"
)

// pluginRuns is how many jobs of plugins run at a time. One that takes an hour holds up no other plugin's.
const pluginRuns = 16

// stopPatience is how long a stop waits for requests and plugins to finish what they began.
const stopPatience = 20 * time.Second

// serve runs the daemon until ctx ends: the rooms, the pages and the API on one address, the local door, jobs, plugins.
func serve(ctx context.Context, c config.Config, log *slog.Logger) error {
	// restic on the same machine asks by SIGHUP whether the holder of a lock lives (restic-format: locks).
	signal.Ignore(syscall.SIGHUP)
	a, err := open(ctx, c, log)
	if err != nil {
		return err
	}
	defer func() {
		if err := a.close(); err != nil {
			log.Error("close the data", "error", err)
		}
	}()
	return a.run(ctx)
}

// run serves until ctx ends or a part that everything needs fails.
func (a *appliance) run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	handler, err := a.handler(ctx)
	if err != nil {
		return err
	}
	listener, err := a.listen()
	if err != nil {
		return err
	}
	door, err := control.Listen(a.config.Data)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	commands := a.commands()
	pages := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute,
		WriteTimeout: 10 * time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug)}
	if err := a.packages.Start(ctx); err != nil {
		return errors.Join(err, listener.Close(), door.Close())
	}
	if err := a.plugins.Start(ctx); err != nil {
		a.packages.Close()
		return errors.Join(err, listener.Close(), door.Close())
	}
	if err := a.settlePlugins(ctx); err != nil {
		a.log.Error("put what plugins declared out of use that are gone", "error", err)
	}
	parts := map[string]func() error{
		"pages":      func() error { return ignoreClosed(pages.Serve(listener)) },
		"local door": func() error { return commands.Serve(door) },
		"notes":      func() error { return a.journal.Run(access.WithActor(ctx, access.Appliance())) },
		"indexes":    func() error { return a.book.Serve(access.WithActor(ctx, access.Appliance())) },
		"jobs": func() error {
			return job.NewRunner(a.jobs, a.log, 4, slices.Concat(a.inbox.Jobs(), a.contacts.Jobs(), a.segments.Jobs(), a.purging().Kinds())...).Run(ctx)
		},
		"plugins' files": func() error { return a.plugins.Tidy(access.WithActor(ctx, access.Appliance())) },
		"plugins' jobs":  func() error { return job.NewRunner(a.jobs, a.log, pluginRuns, a.plugins.Runs()).Run(ctx) },
	}
	ended := make(chan struct{}, len(parts))
	for name, part := range parts {
		go func() {
			defer func() { ended <- struct{}{} }()
			if err := watched(part); err != nil && ctx.Err() == nil {
				fail(fmt.Errorf("%s: %w", name, err))
			}
		}()
	}
	a.log.Info("Karov is up", "address", a.address(listener), "data", a.config.Data, "version", version)
	notify("READY=1")
	go a.watchdog(ctx)
	<-ctx.Done()
	notify("STOPPING=1")
	a.stop(pages, commands)
	for range parts {
		<-ended
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// stop lets requests, commands and plugins finish what they began.
func (a *appliance) stop(pages *http.Server, commands *control.Server) {
	patience, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := pages.Shutdown(patience); err != nil {
		_ = pages.Close()
	}
	if err := commands.Close(patience); err != nil {
		a.log.Warn("close the local door", "error", err)
	}
	a.packages.Close()
	if err := a.plugins.Close(patience); err != nil {
		a.log.Warn("stop the plugins", "error", err)
	}
}

// handler puts the pages and the API together.
func (a *appliance) handler(ctx context.Context) (http.Handler, error) {
	zone, err := time.LoadLocation(a.config.TimeZone)
	if err != nil {
		return nil, fmt.Errorf("load time zone: %w", err)
	}
	pages, err := frame.New(frame.Options{Auth: a.staff, Log: a.log, Now: a.now, Zone: zone, Office: a.config.Office,
		Language: a.config.Language, Secure: !a.config.PlainHTTP, Words: a.plugins.Sentences, Health: a.health})
	if err != nil {
		return nil, err
	}
	workspace.Register(pages, workspace.Rooms{Search: a.search, Contacts: a.contacts, Inbox: a.inbox, Tasks: a.tasks, Deals: a.deals,
		Staff: a.staff, Files: a.blobs, Gate: a.gate, Book: a.book, Plugins: a.plugins, Region: a.config.Country})
	console.Register(pages, console.Rooms{Gate: a.gate, Plugins: a.plugins, Packages: a.packages})
	live.Register(ctx, pages, a.journal, a.book)
	programs, err := a.programs(api.Limits{}, pages.Who, ctx.Done())
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", pages)
	mux.Handle(plugin.HTTPPrefix, a.routes(pages))
	for _, path := range []string{"/api/", "/healthz", "/readyz", "/metrics"} {
		mux.Handle(path, programs)
	}
	return mux, nil
}

// routes serves the plugins' own routes. Who is signed in is known there; who is not reaches what is public.
func (a *appliance) routes(pages *frame.Frame) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		actor, own, err := pages.Who(r)
		if err == nil && (own || r.Method == http.MethodGet || r.Method == http.MethodHead) {
			r = r.WithContext(access.WithActor(r.Context(), actor))
		}
		a.plugins.ServeHTTP(w, r)
	})
}

// programs makes the API; session says who a browser without a token is, nil for nobody. Its streams end when down is closed.
func (a *appliance) programs(limits api.Limits, session func(*http.Request) (access.Actor, bool, error), down <-chan struct{}) (*api.API, error) {
	return api.New(api.Parts{Book: a.book, Schema: a.schema, Gate: a.gate, Journal: a.journal, Files: a.files, Transfer: a.transfer, Segments: a.segments,
		Contacts: a.contacts, Inbox: a.inbox, Tasks: a.tasks, Deals: a.deals, Staff: a.staff, Search: a.search, Log: a.log, Now: a.now, Version: version,
		Country: a.config.Country, Spool: a.config.Data, Limits: limits, Session: session, Sentences: a.plugins.Sentences, Ready: a.ready, Plugins: a.pluginStates, Numbers: []prometheus.Collector{a.plugins}, Down: down})
}

// pluginStates gives each plugin's state by its id.
func (a *appliance) pluginStates() map[string]string {
	states := map[string]string{}
	for _, p := range a.plugins.List() {
		states[p.ID] = string(p.State)
	}
	return states
}

// ready tells whether the data can be read.
func (a *appliance) ready(ctx context.Context) error {
	return a.db.View(ctx, func(tx store.Tx) error { _, err := store.Format(tx); return err })
}

// listen opens the address: with TLS, unless the configuration allows plain HTTP on a loopback address.
func (a *appliance) listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", a.config.Listen)
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "serve.address", "address", a.config.Listen)
	}
	if a.config.PlainHTTP {
		return ln, nil
	}
	certFile, keyFile := a.certificateFiles()
	certificate, err := ownCertificate(certFile, keyFile, a.now())
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		Certificates: []tls.Certificate{certificate}}), nil
}

func (a *appliance) address(ln net.Listener) string {
	if a.config.PlainHTTP {
		return "http://" + ln.Addr().String()
	}
	return "https://" + ln.Addr().String()
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// watched turns a panic of a part into its error, so that the others are stopped in order.
func watched(part func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return part()
}

// notify tells systemd how the service is (sd_notify(3)); without systemd it does nothing.
func notify(state string) {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return // nobody listens: there is nobody to tell
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}

// watchdog tells systemd that the daemon is alive as long as the data can be read; a daemon that hangs is restarted.
func (a *appliance) watchdog(ctx context.Context) {
	if os.Getenv("WATCHDOG_USEC") == "" {
		return
	}
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if a.ready(access.WithActor(ctx, access.Appliance())) == nil {
				notify("WATCHDOG=1")
			}
		}
	}
}
