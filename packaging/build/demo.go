package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ownerEmail is who signs in to a demo.
const ownerEmail = "owner@karov.example"

// demoFlags are what a person asked for.
type demoFlags struct {
	listen, data, language string
	contacts               int
	once, json             bool
}

// demoRun is one demo: its folders, its daemon's program, how to sign in.
type demoRun struct {
	desk
	flags   demoFlags
	work    string // ours, goes at the end
	data    string
	product product
	// fresh says that the data folder was empty, so that the account is ours.
	fresh    bool
	password string
}

// readyLine is the one line of --json.
type readyLine struct {
	URL      string `json:"url"`
	Email    string `json:"email"`
	Password string `json:"password"`
	Data     string `json:"data"`
}

func parseDemo(args []string) (demoFlags, error) {
	var f demoFlags
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8480", "address for browsers; plain http, so only this machine's own")
	flags.StringVar(&f.data, "data", "", "folder for the data, kept afterwards (default: a new one, deleted at the end)")
	flags.StringVar(&f.language, "language", "en", "language of the owner: he, en or ru")
	flags.IntVar(&f.contacts, "contacts", 10000, "how many made-up customers to fill in")
	flags.BoolVar(&f.once, "once", false, "start, check yourself, stop")
	flags.BoolVar(&f.json, "json", false, "say where and how to sign in as one line of JSON")
	if err := parse(flags, args); err != nil {
		return f, err
	}
	host, _, err := net.SplitHostPort(f.listen)
	if err != nil {
		return f, fmt.Errorf("read --listen: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return f, fmt.Errorf("--listen %s: a demo speaks plain http, so it listens on this machine only (127.0.0.1, localhost, [::1])", f.listen)
	}
	if f.contacts < 0 {
		return f, errors.New("--contacts cannot be negative")
	}
	return f, nil
}

// demo lets a newcomer look at a Karov with customers in it.
func demo(ctx context.Context, d desk, args []string) error {
	flags, err := parseDemo(args)
	if err != nil {
		return err
	}
	ctx, cancel := stopWithParent(ctx)
	defer cancel()
	work, err := os.MkdirTemp(d.cache, "demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer os.RemoveAll(work)
	r := &demoRun{desk: d, flags: flags, work: work, data: flags.data}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	err = r.stay(ctx)
	if ctx.Err() != nil && !flags.once {
		// Ctrl-C is how a demo is meant to end.
		return nil
	}
	return err
}

// prepare builds the programs and makes the data folder with its owner.
func (r *demoRun) prepare(ctx context.Context) error {
	var err error
	if r.data == "" {
		r.data = filepath.Join(r.work, "data")
	}
	if r.data, err = filepath.Abs(r.data); err != nil {
		return fmt.Errorf("find the data folder: %w", err)
	}
	if err := os.MkdirAll(r.data, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w", err)
	}
	there, err := os.ReadDir(r.data)
	if err != nil {
		return fmt.Errorf("look into the data folder: %w", err)
	}
	r.fresh = len(there) == 0
	if r.flags.once && !r.fresh {
		return fmt.Errorf("--once checks what it made itself: %s must be empty or missing", r.data)
	}
	if r.product, err = compile(ctx, r.desk, filepath.Join(r.work, "bin"), target{}); err != nil {
		return err
	}
	if !r.fresh {
		return nil
	}
	r.password = rand.Text()
	fmt.Fprintln(r.say, "setting up a new office")
	_, err = r.karov(ctx, r.password+"\n", "setup", "--owner-email", ownerEmail, "--owner-name", "Dana Owner",
		"--language", r.flags.language, "--password-stdin", "--json")
	return err
}

// own are the flags that keep every command off a Karov that is installed on
// this machine: the demo's data, and no settings but its flags.
func (r *demoRun) own() []string { return []string{"--config", os.DevNull, "--data", r.data} }

// karov runs a command of the program on the demo's data and gives what it printed.
func (r *demoRun) karov(ctx context.Context, input string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, r.product.karov, append(args, r.own()...)...)
	cmd.Stdin = strings.NewReader(input)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("karov %s: %w\n%s%s", args[0], err, out, said.String())
	}
	return out, nil
}

// stay starts the daemon, fills it, and leaves it up until told to stop.
func (r *demoRun) stay(ctx context.Context) error {
	fmt.Fprintln(r.say, "starting the daemon")
	argv := append([]string{r.product.karov, "serve", "--listen", r.flags.listen, "--plain-http",
		"--plugins", r.product.plugins}, r.own()...)
	s, err := startServer(filepath.Join(r.work, "daemon.log"), argv...)
	if err != nil {
		return err
	}
	err = r.use(ctx, s)
	if err != nil && s.gone() {
		return err
	}
	fmt.Fprintln(r.say, "\nstopping the daemon")
	stopErr := s.stop()
	if r.flags.once {
		stopErr = r.report(finding{"the daemon stops cleanly", stopErr})
	}
	if stopErr == nil && r.flags.data == "" {
		fmt.Fprintln(r.say, "the demo's data is deleted; keep it next time with --data DIR")
	}
	return errors.Join(err, stopErr)
}

// use is what happens while the daemon runs.
func (r *demoRun) use(ctx context.Context, s *server) error {
	url := "http://" + r.flags.listen
	if err := s.waitReady(ctx, url+"/readyz"); err != nil {
		return err
	}
	if r.fresh && r.flags.contacts > 0 {
		if err := r.seed(ctx); err != nil {
			return err
		}
	}
	if r.flags.once {
		return r.selfCheck(ctx, url)
	}
	if err := r.tell(readyLine{URL: url, Email: ownerEmail, Password: r.password, Data: r.data}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case <-s.ended:
		return s.died()
	}
}

// seed fills in customers through the running daemon; its progress is shown.
func (r *demoRun) seed(ctx context.Context) error {
	fmt.Fprintf(r.say, "filling in %d customers\n", r.flags.contacts)
	argv := append([]string{"seed", "--contacts", strconv.Itoa(r.flags.contacts)}, r.own()...)
	cmd := exec.CommandContext(ctx, r.product.karov, argv...)
	cmd.Stdout, cmd.Stderr = r.say, r.say
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("fill in customers: %w", err)
	}
	fmt.Fprintf(r.say, "filled in after %s\n", time.Since(start).Round(100*time.Millisecond))
	return nil
}

// tell says where it is and how to sign in.
func (r *demoRun) tell(ready readyLine) error {
	if r.flags.json {
		line, err := json.Marshal(ready)
		if err != nil {
			return fmt.Errorf("write the ready line: %w", err)
		}
		_, err = fmt.Fprintln(r.out, string(line))
		return err
	}
	password := ready.Password
	if password == "" {
		password = "the one that was shown when this data was made"
	}
	_, err := io.WriteString(r.out, "\nKarov is up.\n\n"+
		"  address    "+ready.URL+"\n"+
		"  e-mail     "+ready.Email+"\n"+
		"  password   "+password+"\n"+
		"  data       "+ready.Data+"\n\n"+
		"Stop it with Ctrl-C.\n")
	return err
}

// stopWithParent also ends the context when the process that started us is gone:
// `go run` does not pass on every signal, and a demo must not outlive it.
func stopWithParent(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	parent := os.Getppid()
	go func() {
		for pause(ctx, time.Second) == nil {
			if os.Getppid() != parent {
				cancel()
			}
		}
	}()
	return ctx, cancel
}
