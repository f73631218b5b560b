package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDemoListensOnThisMachineOnly(t *testing.T) {
	for listen, ok := range map[string]bool{
		"127.0.0.1:8480": true, "localhost:0": true, "[::1]:9000": true, "127.0.0.9:1": true,
		"0.0.0.0:8480": false, ":8480": false, "192.168.1.5:8480": false, "[::]:80": false,
		"office.example:80": false, "8480": false, "": false,
	} {
		if _, err := parseDemo([]string{"--listen", listen}); (err == nil) != ok {
			t.Errorf("--listen %q: %v, want it accepted: %v", listen, err, ok)
		}
	}
	if _, err := parseDemo([]string{"--contacts", "-1"}); err == nil {
		t.Error("a negative number of customers is accepted")
	}
	if _, err := parseDemo([]string{"more"}); !errors.Is(err, errUsage) {
		t.Errorf("a stray argument: %v", err)
	}
}

func TestServerThatDiesAtOnceIsTold(t *testing.T) {
	s, err := startServer(filepath.Join(t.TempDir(), "log"), "sh", "-c", "echo the port is taken >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	err = s.waitReady(t.Context(), "http://"+closedAddress(t))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("error = %v", err)
	}
}

func TestServerStopTellsHowItEnded(t *testing.T) {
	for script, ok := range map[string]bool{
		"trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done": true,
		"trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done": false,
	} {
		log := filepath.Join(t.TempDir(), "log")
		s, err := startServer(log, "sh", "-c", script)
		if err != nil {
			t.Fatal(err)
		}
		for text, _ := os.ReadFile(log); !strings.Contains(string(text), "up"); text, _ = os.ReadFile(log) {
			if err := pause(t.Context(), 1e6); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.stop(); (err == nil) != ok {
			t.Errorf("%s: %v, want a clean end: %v", script, err, ok)
		}
		if s.cmd.ProcessState == nil {
			t.Errorf("%s: it still runs", script)
		}
	}
}

// closedAddress is one on which nothing listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestHiddenFieldsOfAForm(t *testing.T) {
	page := `<form><input type="hidden" name="token" value="a&amp;b"/><input type="hidden" name="next" value=""/><input name="email" type="email"/></form>`
	found := hiddenField.FindAllStringSubmatch(page, -1)
	if len(found) != 2 || found[0][1] != "token" || found[0][2] != "a&amp;b" || found[1][2] != "" {
		t.Errorf("found %q", found)
	}
}
