package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/fault"
	hosted "github.com/karov-crm/karov/appliance/plugin"
	"github.com/karov-crm/karov/appliance/plugin/kit"
)

// testPlugin puts a plugin through the conformance suite.
func (c *command) testPlugin() *cobra.Command {
	var want string
	cmd := &cobra.Command{Use: "test DIR|FILE", Short: "Put a plugin through the conformance suite", Args: exactly(1),
		Long: "Opens a whole office in a folder that is thrown away, with the real rooms and the plugin locked in as it will be, and uses it: records, " +
			"views, buttons, jobs, messages. Meanwhile the plugin is killed, stopped and flooded, the host is slow, old, full, and restarted. What the " +
			"suite must know of the world (settings, how to bring a message) stands in " + kit.WorldFile + " of the plugin's folder. The report grades the " +
			"plugin: bronze does its work, silver comes through what happens in an office, gold lacks nothing.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if want != string(kit.Bronze) && want != string(kit.Silver) && want != string(kit.Gold) {
				return usageError{fmt.Errorf("%q is no grade: bronze, silver, gold", want)}
			}
			work, err := os.MkdirTemp("", "karov-test-")
			if err != nil {
				return fault.Wrap(err, fault.Unavailable, "kit.setup")
			}
			defer os.RemoveAll(work)
			s, err := subject(cmd.Context(), args[0], work)
			if err != nil {
				return err
			}
			report := s.Test(cmd.Context(), func(r kit.Result) {
				if !c.json {
					fmt.Fprintln(c.Out, resultLine(r))
				}
			})
			if err := c.print(report, func(w io.Writer) { showReport(w, report) }); err != nil {
				return err
			}
			if !report.Reaches(kit.Grade(want)) {
				return fault.New(fault.Invalid, "kit.not-passed")
			}
			return nil
		}}
	cmd.Flags().StringVar(&want, "grade", string(kit.Bronze), "fail below this grade: bronze, silver, gold")
	return cmd
}

// subject builds the plugin in a folder, or unpacks a package, for the suite.
func subject(ctx context.Context, name, work string) (*kit.Subject, error) {
	home, world := filepath.Join(work, "plugins"), filepath.Join(work, "world")
	for _, dir := range []string{home, world} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, fault.Wrap(err, fault.Unavailable, "kit.setup")
		}
	}
	st, err := os.Stat(name)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", name)
	}
	s := kit.Subject{Home: home}
	if st.IsDir() {
		s.Source = name
		_, err = kit.Build(ctx, name, filepath.Join(home, "plugin"))
	} else {
		err = unpacked(name, filepath.Join(home, "plugin"))
	}
	if err != nil {
		return nil, err
	}
	if s.World, err = kit.ReadWorld(s.Source, world); err != nil {
		return nil, err
	}
	return kit.NewSubject(s)
}

func unpacked(name, to string) error {
	raw, err := readPackage(name)
	if err != nil {
		return err
	}
	p, err := hosted.LookIntoPackage(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return err
	}
	return p.Extract(to, hosted.Arch())
}

// resultLine is a check in a line.
func resultLine(r kit.Result) string {
	word := map[kit.Outcome]string{kit.Passed: "pass", kit.Failed: "FAIL", kit.Missing: "lacks", kit.Apart: "-"}[r.Outcome]
	return fmt.Sprintf("%-6s %-6s %s (%s)", word, r.Grade, r.Name, r.Took.Round(10*time.Millisecond))
}

func showReport(w io.Writer, r kit.Report) {
	for _, result := range r.Results {
		for _, note := range result.Notes {
			fmt.Fprintf(w, "  %s: %s\n", result.Name, strings.ReplaceAll(note, "\n", "\n    "))
		}
	}
	fmt.Fprintf(w, "%s %s: %s\n", r.ID, r.Version, r.Grade)
	if r.Next == "" {
		return
	}
	fmt.Fprintf(w, "For %s it lacks:\n", r.Next)
	for _, result := range r.Results {
		for _, lack := range r.Lacks[result.Name] {
			first, _, _ := strings.Cut(lack, "\n")
			fmt.Fprintf(w, "  it %s: %s\n", result.Name, first)
		}
	}
}
