package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/control"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/snapshot"
	"github.com/karov-crm/karov/backup"
)

// keyVariable holds the recovery key for commands that nobody sits at.
const keyVariable = "KAROV_RECOVERY_KEY"

func (c *command) backup() *cobra.Command {
	cmd := &cobra.Command{Use: "backup", Short: "Encrypted backups"}
	var repo string
	initialise := &cobra.Command{Use: "init", Short: "Make a backup repository and print its recovery key once",
		Long: "Makes a repository in a folder that the daemon can write to. For a repository that is there already, give its recovery\n" +
			"key in " + keyVariable + ": this machine is let into it.",
		Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
			if repo == "" {
				return usageError{errors.New("--repo is needed")}
			}
			var r map[string]string
			err := c.ask(cmd.Context(), control.Wish{Act: "backup-init", Args: map[string]string{"Repo": repo, "Key": os.Getenv(keyVariable)}, Result: &r})
			if err != nil {
				return err
			}
			return c.print(r, func(w io.Writer) {
				fmt.Fprintf(w, "Backups go to %s.\n\nRecovery key:\n\n    %s\n\n", repo, r["recovery_key"])
				fmt.Fprintln(w, "Write it on paper now and keep it away from this machine. It is not shown again, and without it nobody can\nread the backups. It is also the password for stock restic.")
			})
		}}
	initialise.Flags().StringVar(&repo, "repo", "", "folder of the repository")
	now := &cobra.Command{Use: "now", Short: "Make a backup while the daemon works", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		var all []struct {
			Folder   string            `json:"folder"`
			Snapshot string            `json:"snapshot"`
			Taken    time.Time         `json:"taken"`
			Bytes    uint64            `json:"bytes"`
			Added    uint64            `json:"added_bytes"`
			Took     string            `json:"took"`
			Manifest snapshot.Manifest `json:"manifest"`
		}
		err := c.ask(cmd.Context(), control.Wish{Act: "backup-now", Args: struct{}{}, Result: &all, Progress: c.backupProgress})
		if err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, b := range all {
				fmt.Fprintf(w, "%s\tsnapshot %.8s, %.1f MB, %.1f MB new, in %s\n", b.Folder, b.Snapshot, float64(b.Bytes)/1e6, float64(b.Added)/1e6, b.Took)
				fmt.Fprintf(w, "\t%d contacts, %d messages, %d files, as of %s\n", b.Manifest.Count("record.contact"),
					b.Manifest.Count("record.message"), b.Manifest.Attachments, b.Taken.Local().Format(time.DateTime))
			}
		})
	}}
	list := &cobra.Command{Use: "list", Short: "List the backups", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		var all []struct {
			Folder string          `json:"folder"`
			Made   backup.Snapshot `json:"snapshot"`
		}
		if err := c.ask(cmd.Context(), control.Wish{Act: "backup-list", Args: struct{}{}, Result: &all}); err != nil {
			return err
		}
		return c.print(all, func(w io.Writer) {
			for _, b := range all {
				fmt.Fprintf(w, "%.8s\t%s\t%s\t%s\n", b.Made.ID, b.Made.Time.Local().Format(time.DateTime), b.Made.ProgramVersion, b.Folder)
			}
			if len(all) == 0 {
				fmt.Fprintln(w, "There is no backup yet: karov backup now")
			}
		})
	}}
	cmd.AddCommand(initialise, now, list, c.backupVerify())
	return cmd
}

func (c *command) backupVerify() *cobra.Command {
	return &cobra.Command{Use: "verify", Short: "Read every byte of the backups and name what is damaged", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		var reports map[string]backup.Report
		if err := c.ask(cmd.Context(), control.Wish{Act: "backup-verify", Args: struct{}{}, Result: &reports, Progress: c.backupProgress}); err != nil {
			return err
		}
		damaged := 0
		err := c.print(reports, func(w io.Writer) {
			for folder, r := range reports {
				fmt.Fprintf(w, "%s\t%d snapshots, %d files, %.1f MB read\n", folder, r.Snapshots, r.Files, float64(r.BytesRead)/1e6)
				for _, d := range r.Damage {
					fmt.Fprintf(w, "\tDAMAGED %s %.12s: %s\n", d.Kind, d.Name, d.Reason)
					for _, h := range d.Hurts {
						fmt.Fprintf(w, "\t  hurts %s in %.8s\n", h.Path, h.Snapshot)
					}
				}
			}
		})
		for _, r := range reports {
			damaged += len(r.Damage)
		}
		if damaged > 0 {
			return errors.Join(err, fault.New(fault.Invalid, "backup.damaged-objects", "count", damaged))
		}
		return err
	}}
}

func (c *command) backupProgress(raw json.RawMessage) {
	var p backup.Progress
	if json.Unmarshal(raw, &p) == nil && !c.json {
		fmt.Fprintf(c.Err, "%.1f MB  %s\n", float64(p.Bytes)/1e6, p.Path)
	}
}

func (c *command) restore() *cobra.Command {
	var from, id string
	var salvage bool
	cmd := &cobra.Command{Use: "restore", Short: "Bring an office back from a backup, into a new data folder",
		Long: "Restores into the folder given by --data, which must be new or empty. The recovery key comes from " + keyVariable + " or a prompt.\n" +
			"Every bucket is counted and hashed and compared with the backup's manifest before the folder gets its name.",
		Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return usageError{errors.New("--from is needed")}
			}
			conf, err := c.load()
			if err != nil {
				return err
			}
			key, err := c.secret(false, keyVariable, "Recovery key")
			if err != nil {
				return err
			}
			holder := snapshot.HolderOf(conf.Data)
			proof, err := snapshot.Restore{From: from, Key: key, Snapshot: id, Data: conf.Data, Salvage: salvage, Progress: c.restoreProgress()}.Run(cmd.Context())
			if err != nil {
				return err
			}
			if err := holder.Take(conf.Data); err != nil {
				return err
			}
			if err := c.print(proof, func(w io.Writer) { restored(w, conf.Data, proof) }); err != nil || proof.Equal() {
				return err
			}
			return fault.New(fault.Invalid, "restore.incomplete", "count", len(proof.Missing))
		}}
	cmd.Flags().StringVar(&from, "from", "", "folder of the repository")
	cmd.Flags().StringVar(&id, "snapshot", "", "which snapshot (default: the newest)")
	cmd.Flags().BoolVar(&salvage, "salvage", false, "when the backup is damaged, restore what is sound and say what is missing")
	return cmd
}

func (c *command) restoreProgress() func(backup.Progress) {
	var last time.Time
	return func(p backup.Progress) {
		if !c.json && time.Since(last) > 500*time.Millisecond {
			last = time.Now()
			fmt.Fprintf(c.Err, "%d of %d files, %.1f of %.1f MB\n", p.Files, p.TotalFiles, float64(p.Bytes)/1e6, float64(p.TotalBytes)/1e6)
		}
	}
}

// restored writes the proof: each bucket with its count and whether its content hash is the manifest's.
func restored(w io.Writer, data string, p snapshot.Proof) {
	fmt.Fprintf(w, "restored\tsnapshot %.8s of %s into %s\n", p.Snapshot, p.Manifest.Taken.Local().Format(time.DateTime), data)
	got := map[string]snapshot.Bucket{}
	for _, b := range p.Buckets {
		got[b.Name] = b
	}
	for _, b := range p.Manifest.Buckets {
		state := "identical"
		if got[b.Name] != b {
			state = "DIFFERS"
		}
		fmt.Fprintf(w, "%s\t%d of %d\t%.16s\t%s\n", b.Name, got[b.Name].Count, b.Count, b.Hash, state)
	}
	fmt.Fprintf(w, "attachments\t%d\n", p.Manifest.Attachments)
	for _, missing := range p.Missing {
		fmt.Fprintf(w, "MISSING\t%s\n", missing)
	}
}
