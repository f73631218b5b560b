// Command mover is a plugin with many versions, for the tests of installing. Its own file name, mover-<version>, says
// which it is, and the end of the version how it behaves.
package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/karov-crm/karov/plugins/sdk"
)

func main() {
	version := strings.TrimPrefix(filepath.Base(os.Args[0]), "mover-")
	behaves := func(how string) bool { return strings.HasSuffix(version, "-"+how) }
	if behaves("dead") {
		os.Exit(3)
	}
	p := sdk.Plugin{Info: sdk.Info{ID: "test.rogue.mover", Version: version}}
	p.Configure = func(context.Context, sdk.Config) error {
		if behaves("unwell") {
			return errors.New("I do not like these settings")
		}
		return nil
	}
	p.Start = func(ctx context.Context, _ sdk.Host) error {
		if behaves("falls") {
			time.Sleep(100 * time.Millisecond)
			os.Exit(4)
		}
		<-ctx.Done()
		return nil
	}
	if !behaves("unmoving") {
		p.Migrate = func(_ context.Context, _ sdk.Host, from, to int, cursor string) (string, bool, error) {
			at, _ := strconv.Atoi(cursor) // "" is the beginning
			return step(at, behaves("stuck"), from, to)
		}
	}
	sdk.Run(p)
}

// step writes what was asked into the plugin's own folder, for the test to read.
func step(at int, stuck bool, from, to int) (string, bool, error) {
	f, err := os.OpenFile("steps", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	if _, err := f.WriteString(strconv.Itoa(from) + ">" + strconv.Itoa(to) + "@" + strconv.Itoa(at) + "\n"); err != nil {
		return "", false, err
	}
	if stuck && at == 1 {
		return "", false, sdk.Permanent("mover.stuck", errors.New("it cannot go on"))
	}
	return strconv.Itoa(at + 1), at == 2, nil
}
