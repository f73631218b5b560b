package plugin

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/karov-crm/karov/appliance/store/bolt"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
)

// killVariable makes TestWhatWasAnsweredOutlivesAKill the one that is killed, over the folder it names.
const killVariable = "KAROV_TEST_KILL"

// TestWhatWasAnsweredOutlivesAKill kills a host with SIGKILL while it writes for a plugin. What was answered before is
// there after, a small value and a record for each number, and what it stores is counted right.
func TestWhatWasAnsweredOutlivesAKill(t *testing.T) {
	if dir := os.Getenv(killVariable); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	b := newBench(t)
	b.must(b.db.Close())
	host := exec.Command(os.Args[0], "-test.run=^TestWhatWasAnsweredOutlivesAKill$")
	host.Env = append(os.Environ(), killVariable+"="+b.dir)
	host.Stderr = os.Stderr
	out, err := host.StdoutPipe()
	b.must(err)
	b.must(host.Start())
	answered, lines := 0, bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.Atoi(strings.TrimSpace(lines.Text()))
		if err != nil {
			t.Fatalf("the host says %q", lines.Text())
		}
		if answered = n; n == 50 {
			b.must(host.Process.Kill())
		}
	}
	_, _ = io.Copy(io.Discard, out)
	_ = host.Wait() // it was killed: the error says so
	if answered < 50 {
		t.Fatalf("the host ended after %d", answered)
	}
	b.db, err = bolt.Open(filepath.Join(b.dir, "karov.db"))
	b.must(err)
	t.Cleanup(func() { _ = b.db.Close() })
	b.open()
	x := b.plugin(workshopManifest())
	for n := 1; n <= answered; n++ {
		if e, err := x.kv.Get(b.itself(), &wirev1.KVGetRequest{Key: fmt.Append(nil, n)}); err != nil || string(e.Value) != "kept" {
			t.Errorf("of value %d: %v, %v", n, e, err)
		}
		found, err := x.Query(b.itself(), &wirev1.QueryRequest{Entity: "workshop.lorry", Filter: fmt.Sprintf(`plate = "%d"`, n)})
		if err != nil || len(found.Records) != 1 {
			t.Errorf("of lorry %d: %v, %v", n, found, err)
		}
	}
	if count, err := x.Count(b.itself(), &wirev1.CountRequest{Entity: "workshop.lorry"}); err != nil || int(count.Count) < answered || int(count.Count) > answered+1 {
		t.Errorf("%v lorries, %d were answered, %v", count, answered, err)
	}
}

// writeUntilKilled answers numbers after they are written.
func writeUntilKilled(t *testing.T, dir string) {
	b := &bench{t: t, dir: dir}
	var err error
	b.db, err = bolt.Open(filepath.Join(dir, "karov.db"))
	b.must(err)
	b.open()
	x := b.plugin(workshopManifest())
	for n := 1; n < 100_000; n++ {
		_, err := x.keep(b.itself(), put(strconv.Itoa(n), "kept", 0))
		b.must(err)
		x.wrote(t, b.itself(), creating("workshop.lorry", valuesOf{"plate": text(strconv.Itoa(n))}))
		fmt.Println(n)
	}
}
