package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/karov-crm/karov/appliance/store/bolt"
)

const (
	startGoal  = 200 * time.Millisecond
	idleGoal   = 60 // MB
	patience   = 60 * time.Second
	settleTime = 3 * time.Second
	starts     = 3
)

// start closes the office and lets the daemon open the same data, in a process of its own, until it answered.
func (r *run) start(ctx context.Context) error {
	if err := r.o.Close(); err != nil {
		return err
	}
	token := r.o.Token
	r.o = nil
	var first, opened []time.Duration
	idle := 0.0
	for range starts {
		floor, err := bareOpen(r.Folder)
		if err != nil {
			return err
		}
		took, memory, err := r.daemon(ctx, token)
		if err != nil {
			return err
		}
		first, opened, idle = append(first, took), append(opened, floor), max(idle, memory)
	}
	took, least := median(first), median(opened)
	r.add(Row{Name: "start to first lookup", Value: milli(took), Unit: "ms", Floor: milli(least), Ratio: float64(took) / float64(max(1, least)),
		Goal: "≤ 200 ms", Pass: took <= startGoal, Note: "the floor opens the file and no more"})
	r.add(Row{Name: "idle anonymous memory", Value: idle, Unit: "MB", Goal: "≤ 60 MB", Pass: idle <= idleGoal})
	return r.open(ctx)
}

// bareOpen opens the file without anything above it.
func bareOpen(folder string) (time.Duration, error) {
	start := time.Now()
	db, err := bolt.Open(folder + "/karov.db")
	if err != nil {
		return 0, err
	}
	took := time.Since(start)
	return took, db.Close()
}

// daemon starts the daemon, measures until its first right answers, and its memory when it has settled.
func (r *run) daemon(ctx context.Context, token string) (took time.Duration, memory float64, err error) {
	address, err := freeAddress()
	if err != nil {
		return 0, 0, err
	}
	var log bytes.Buffer
	cmd := r.Serve(address)
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, fmt.Errorf("start the daemon: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		stop := cmd.Process.Signal(syscall.SIGTERM)
		err = errors.Join(err, stop, <-ended)
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, log.Bytes())
		}
	}()
	for asked := false; !asked; {
		asked = answers(ctx, address, "/healthz", token) == nil
		if !asked && time.Since(start) > patience {
			return 0, 0, errors.New("the daemon does not come up")
		}
		if !asked {
			time.Sleep(time.Millisecond)
		}
	}
	if err := answers(ctx, address, "/api/v1/search?"+url.Values{"q": {r.data.sample[0].Name}}.Encode(), token); err != nil {
		return 0, 0, err
	}
	took = time.Since(start)
	time.Sleep(settleTime)
	memory, err = anonymous(cmd.Process.Pid)
	return took, memory, err
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free address: %w", err)
	}
	return ln.Addr().String(), ln.Close()
}

// answers asks once over the network.
func answers(ctx context.Context, address, path, token string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, answer.Status)
	}
	return nil
}

// anonymous is the memory that a process has for itself, in MB, as the kernel counts it.
func anonymous(pid int) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, fmt.Errorf("read the daemon's memory: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "Anonymous:"); ok {
			kb, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kb / 1024, err
		}
	}
	return 0, errors.Join(errors.New("the kernel does not say how much memory the daemon has"), lines.Err())
}
