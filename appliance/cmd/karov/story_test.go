package main

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/karov-crm/karov/appliance/appliancetest"
)

// TestStories runs testdata/*.txtar: each is a story that somebody at a terminal would live through. Beside the usual
// commands of testscript there is `ready`, which waits until the daemon of the story answers.
func TestStories(t *testing.T) {
	karov, plugins := appliancetest.Programs(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Setenv("LISTEN", ln.Addr().String())
			e.Setenv("PLUGINS", plugins)
			e.Setenv("KAROV_LANG", "en")
			e.Setenv("PATH", filepath.Dir(karov)+":"+e.Getenv("PATH"))
			return ln.Close()
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": func(ts *testscript.TestScript, _ bool, _ []string) { ts.Check(ready(ts.Getenv("LISTEN"))) },
		},
	})
}

func ready(listen string) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		answer, err := http.Get("http://" + listen + "/readyz")
		if err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("the daemon on %s is never ready", listen)
}
