package plugin_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/confine"
	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/grpc"
)

// gentle is how the launcher ranks plugins among processes. What is compared with a confined one gets the same rank, since
// it is the host that is measured and not who else uses the processors.
const gentle = 5

// polite gives a rank to a process that leads a group, and to its threads.
func polite(pid, rank int) error { return syscall.Setpriority(syscall.PRIO_PGRP, pid, rank) }

// BenchmarkStart measures from the start of a plugin to the end of its first call: by the host with the launcher that
// locks it in, by the host with one that locks nothing in, and as a bare process of the same program to which somebody
// speaks gRPC as soon as it names its socket. By turns; the ratios are of the medians.
func BenchmarkStart(b *testing.B) {
	confined := newPaced(b)
	open := filepath.Join(b.TempDir(), "openlaunch")
	if out, err := exec.Command("go", "build", "-o", open, "./testdata/openlaunch").CombinedOutput(); err != nil {
		b.Fatalf("build the launcher: %v\n%s", err, out)
	}
	loose := newPaced(b, func(o *plugin.Options) { o.Launch, o.MinimumIsolation = []string{open}, confine.None })
	var us, ranked, free, bare []time.Duration
	for b.Loop() {
		ranked = append(ranked, startBare(b, confined.program, gentle))
		us = append(us, confined.start())
		bare = append(bare, startBare(b, confined.program, 0))
		free = append(free, loose.start())
	}
	b.ReportMetric(float64(median(bare).Microseconds())/1000, "bare-ms")
	b.ReportMetric(float64(median(free).Microseconds())/1000, "unconfined-ms")
	b.ReportMetric(float64(median(us).Microseconds())/1000, "confined-ms")
	b.ReportMetric(median(free).Seconds()/median(bare).Seconds(), "unconfined-x-bare")
	b.ReportMetric(median(us).Seconds()/median(ranked).Seconds(), "confined-x-bare")
}

// start switches the plugin off, and on until it drew a view.
func (p *paced) start() time.Duration {
	p.b.Helper()
	p.must(p.Host.Disable(p.b.Context(), pace))
	began := time.Now()
	p.must(p.Host.Enable(p.b.Context(), pace))
	for {
		_, err := p.Host.Render(p.owner(), pace, "blank", nil, nil)
		if err == nil {
			return time.Since(began)
		}
		select {
		case <-p.change:
		case <-time.After(time.Minute):
			p.b.Fatalf("the plugin does not come up: %v", err)
		}
	}
}

// startBare starts the program as the host would, with nothing of the host's around it.
func startBare(b *testing.B, program string, rank int) time.Duration {
	b.Helper()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "k")
	must(err)
	defer os.RemoveAll(dir)
	token := wire.NewToken()
	began := time.Now()
	lifeRead, life, err := os.Pipe()
	must(err)
	defer life.Close()
	_, err = life.WriteString(string(token) + "\n")
	must(err)
	cmd := exec.Command(program)
	cmd.ExtraFiles = []*os.File{lifeRead}
	cmd.Env = []string{wire.EnvCookie + "=" + wire.Cookie, wire.EnvProtocols + "=1", wire.EnvSocketDir + "=" + dir,
		wire.EnvHostSocket + "=" + filepath.Join(dir, "none"), wire.EnvLifeFD + "=3", "HOME=" + filepath.Join(dir, pace)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	must(err)
	must(cmd.Start())
	must(polite(cmd.Process.Pid, rank))
	must(lifeRead.Close())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(err)
	parts := strings.Split(line, "|") // core protocol, contract, network, address, kind
	if len(parts) < 5 {
		b.Fatalf("the program says %q", line)
	}
	peer := wire.Peer{PID: func() int { return cmd.Process.Pid }, UID: os.Geteuid()}
	conn, err := grpc.NewClient("unix:"+parts[3], wire.DialOptions(token, peer)...)
	must(err)
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	_, err = wirev1.NewViewsClient(conn).Render(ctx, &wirev1.RenderRequest{View: "blank"})
	took := time.Since(began)
	must(err)
	_ = conn.Close()
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	return took
}
