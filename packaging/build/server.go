package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// server is a daemon that we started and will stop.
type server struct {
	cmd *exec.Cmd
	log string
	// ended is closed when it is gone; err is how, and may be read after that.
	ended chan struct{}
	err   error
}

// startServer starts a program whose output goes to the file log.
func startServer(log string, argv ...string) (*server, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("make the daemon's log: %w", err)
	}
	defer out.Close()
	s := &server{cmd: exec.Command(argv[0], argv[1:]...), log: log, ended: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr = childAttributes()
	started := make(chan error, 1)
	go func() {
		// On Linux the child dies with the thread that started it, so this thread is kept for it.
		runtime.LockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.err = s.cmd.Wait()
		}
		close(s.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the daemon: %w", err)
	}
	return s, nil
}

// waitReady returns when the address answers 200.
func (s *server) waitReady(ctx context.Context, url string) error {
	client := http.Client{Timeout: 5 * time.Second}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if s.gone() {
			return s.died()
		}
		if answer, err := client.Get(url); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the daemon is not ready after a minute:\n%s", s.lastWords())
}

// gone tells whether it has ended already.
func (s *server) gone() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// died says how it ended when nobody had asked it to.
func (s *server) died() error {
	return fmt.Errorf("the daemon ended by itself (%v):\n%s", s.cmd.ProcessState, s.lastWords())
}

// lastWords are the last lines of its log.
func (s *server) lastWords() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return indent(strings.Join(lines[max(0, len(lines)-20):], "\n"))
}

// stop asks it to end and waits until it did.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop the daemon: %w", err)
	}
	select {
	case <-s.ended:
	case <-time.After(40 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
		return fmt.Errorf("the daemon did not stop in 40 seconds:\n%s", s.lastWords())
	}
	if s.err != nil {
		return fmt.Errorf("the daemon ended with %w:\n%s", s.err, s.lastWords())
	}
	return nil
}
