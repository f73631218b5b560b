package confine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// maxOutcome bounds what the host reads of the launcher.
const maxOutcome = 16 << 10

// Start is one use of the launcher, on the host's side.
type Start struct {
	spec   Spec
	give   *os.File // the host's ends
	take   *os.File
	theirs []*os.File
}

// Prepare opens the program and the pipes of one start.
func Prepare(spec Spec) (*Start, error) {
	program, err := os.Open(spec.Program)
	if err != nil {
		return nil, fmt.Errorf("open the program: %w", err)
	}
	specIn, give, err1 := os.Pipe()
	take, reportOut, err2 := os.Pipe()
	s := &Start{spec: spec, give: give, take: take, theirs: []*os.File{specIn, reportOut, program}}
	if err := errors.Join(err1, err2); err != nil {
		s.Close()
		return nil, fmt.Errorf("make the launcher's pipes: %w", err)
	}
	return s, nil
}

// Files are what the launcher inherits, from descriptor 4 on; at 3 lies what the plugin keeps.
func (s *Start) Files() []*os.File { return s.theirs }

// Started tells the launcher, whose process has this number, what the plugin may have, and waits until it became the
// plugin. What it reports is compared with what the kernel says. An error is a *Refusal where the launcher gave one.
// The launcher does nothing before, so that the host can know its number first.
func (s *Start) Started(pid int) (Report, error) {
	s.closeTheirs()
	raw, err := json.Marshal(s.spec)
	if err == nil && len(raw) >= maxSpec {
		err = errors.New("the plugin may have more than fits into the launcher's pipe")
	}
	if err == nil {
		_, err = s.give.Write(raw) // fits into the pipe: never waits
	}
	if err := errors.Join(err, s.give.Close()); err != nil {
		return Report{}, fmt.Errorf("tell the launcher what the plugin may have: %w", err)
	}
	// The launcher's end is closed by its becoming the plugin, or by its death.
	raw, err = io.ReadAll(io.LimitReader(s.take, maxOutcome))
	if err != nil {
		return Report{}, fmt.Errorf("read what the launcher says: %w", err)
	}
	var o outcome
	lines := json.NewDecoder(strings.NewReader(string(raw)))
	if err := lines.Decode(&o); err != nil {
		return Report{}, fmt.Errorf("the launcher ended without a word: %w", err)
	}
	var after outcome
	if lines.Decode(&after) == nil { // the execution failed
		o = after
	}
	if o.Why != "" {
		return o.Report, &Refusal{Why: o.Why, Detail: o.Error, Report: o.Report}
	}
	return s.crossCheck(pid, o.Report)
}

// crossCheck holds the launcher's report against what the kernel says of the process.
func (s *Start) crossCheck(pid int, said Report) (Report, error) {
	kernel, err := statusOf(pid)
	if err != nil {
		return said, fmt.Errorf("ask the kernel about the plugin: %w", err)
	}
	said.SystemCalls = said.SystemCalls && kernel["Seccomp"] == "2"
	locked := kernel["NoNewPrivs"] == "1" && powerless(kernel["CapEff"]) && powerless(kernel["CapPrm"])
	if !locked {
		said.Landlock, said.SystemCalls = 0, false // neither can be relied on
	}
	said.judge()
	if said.Level.Below(s.spec.Minimum) {
		return said, &Refusal{Why: WhyIsolation, Report: said,
			Detail: fmt.Sprintf("the kernel says that isolation is %s, and %s is demanded", said, s.spec.Minimum)}
	}
	return said, nil
}

// powerless tells whether a set of capabilities, as the kernel prints it, is empty.
func powerless(set string) bool {
	n, err := strconv.ParseUint(set, 16, 64)
	return err == nil && n == 0
}

// statusOf reads /proc/<pid>/status.
func statusOf(pid int) (map[string]string, error) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		all[name] = strings.TrimSpace(value)
	}
	return all, lines.Err()
}

// Close lets go of everything. It may be called in any state.
func (s *Start) Close() {
	s.closeTheirs()
	for _, f := range []*os.File{s.give, s.take} {
		if f != nil {
			_ = f.Close()
		}
	}
}

func (s *Start) closeTheirs() {
	for _, f := range s.theirs {
		if f != nil {
			_ = f.Close()
		}
	}
	s.theirs = nil
}
