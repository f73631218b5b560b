package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/config"
	"github.com/karov-crm/karov/appliance/control"
)

func (c *command) serve() *cobra.Command {
	var over config.Config
	cmd := &cobra.Command{Use: "serve", Short: "Run the daemon", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		conf, err := c.load()
		if err != nil {
			return err
		}
		if over.Listen != "" {
			conf.Listen = over.Listen
		}
		if over.Plugins != "" {
			conf.Plugins = over.Plugins
		}
		if over.Packages != "" {
			conf.Packages = over.Packages
		}
		conf.PlainHTTP = conf.PlainHTTP || over.PlainHTTP
		return c.Serve(cmd.Context(), conf, c.logger(conf))
	}}
	cmd.Flags().StringVar(&over.Listen, "listen", "", "address, as 192.168.1.10:8443")
	cmd.Flags().StringVar(&over.Plugins, "plugins", "", "folder of the plugins")
	cmd.Flags().StringVar(&over.Packages, "packages", "", "folder of packages of plugins, each installed by itself")
	cmd.Flags().BoolVar(&over.PlainHTTP, "plain-http", false, "without TLS, on a loopback address only")
	return cmd
}

func (c *command) version() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: exactly(0), RunE: func(*cobra.Command, []string) error {
		return c.print(map[string]string{"version": c.Version}, func(w io.Writer) { fmt.Fprintln(w, c.Version) })
	}}
}

func (c *command) config() *cobra.Command {
	return &cobra.Command{Use: "config", Short: "Print the configuration in force", Args: exactly(0), RunE: func(*cobra.Command, []string) error {
		conf, err := c.load()
		if err != nil {
			return err
		}
		if err := conf.Check(); err != nil {
			return err
		}
		return c.print(conf, func(w io.Writer) { fmt.Fprint(w, conf.YAML()) })
	}}
}

// account is a member of staff as the daemon sends one.
type account struct {
	ID       string `json:"id"`
	Email    string `json:"email"`
	Name     string `json:"name"`
	Role     string `json:"role"`
	Lang     string `json:"lang"`
	Disabled bool   `json:"disabled"`
}

func (c *command) setup() *cobra.Command {
	var email, name, lang string
	var stdin bool
	cmd := &cobra.Command{Use: "setup", Short: "Make the office's first owner", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		if email == "" {
			return usageError{errors.New("--owner-email is needed")}
		}
		password, err := c.secret(stdin, "KAROV_PASSWORD", "Password for "+email)
		if err != nil {
			return err
		}
		var made account
		args := map[string]string{"Email": email, "Name": name, "Lang": lang, "Password": password}
		err = c.ask(cmd.Context(), control.Wish{Act: "setup", Args: args, Result: &made})
		if notRunning(err) {
			conf, loadErr := c.load()
			if loadErr != nil {
				return loadErr
			}
			conf.LogLevel = "warn"
			if _, err := c.Setup(cmd.Context(), conf, c.logger(conf), email, name, lang, password); err != nil {
				return err
			}
			made.Email, err = email, nil
		}
		if err != nil {
			return err
		}
		return c.print(map[string]string{"email": made.Email}, func(w io.Writer) {
			fmt.Fprintf(w, "The office is set up. Its owner signs in as %s.\n", made.Email)
		})
	}}
	cmd.Flags().StringVar(&email, "owner-email", "", "the owner's e-mail address, with which to sign in")
	cmd.Flags().StringVar(&name, "owner-name", "", "the owner's name")
	cmd.Flags().StringVar(&lang, "language", "he", "language of the owner's pages: he, ru, en")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from standard input")
	return cmd
}

// secret reads a secret from standard input, the environment, or a prompt.
func (c *command) secret(stdin bool, env, prompt string) (string, error) {
	if value := os.Getenv(env); value != "" && !stdin {
		return value, nil
	}
	if !stdin {
		fmt.Fprint(c.Err, prompt+": ")
	}
	line, err := bufio.NewReader(c.In).ReadString('\n')
	if err != nil && (err != io.EOF || line == "") {
		return "", usageError{fmt.Errorf("no secret came on standard input; give it there or in %s", env)}
	}
	return strings.TrimRight(line, "\r\n"), nil
}

func (c *command) status() *cobra.Command {
	return &cobra.Command{Use: "status", Short: "Show how the daemon fares", Args: exactly(0), RunE: func(cmd *cobra.Command, _ []string) error {
		var s struct {
			Version string         `json:"version"`
			Data    string         `json:"data"`
			Up      string         `json:"up"`
			Bytes   int64          `json:"store_bytes"`
			Counts  map[string]int `json:"counts"`
			Waiting int            `json:"waiting"`
			Plugins []plugin       `json:"plugins"`
			Backups []struct {
				Folder string    `json:"folder"`
				Last   time.Time `json:"last"`
			} `json:"backups"`
		}
		if err := c.ask(cmd.Context(), control.Wish{Act: "status", Args: struct{}{}, Result: &s}); err != nil {
			return err
		}
		return c.print(s, func(w io.Writer) {
			fmt.Fprintf(w, "version\t%s, up %s\ndata\t%s, %.1f MB\n", s.Version, s.Up, s.Data, float64(s.Bytes)/1e6)
			fmt.Fprintf(w, "contacts\t%d\nconversations\t%d, %d waiting\nmessages\t%d\n", s.Counts["contact"], s.Counts["conversation"], s.Waiting, s.Counts["message"])
			for _, p := range s.Plugins {
				fmt.Fprintf(w, "plugin\t%s\n", c.line(p))
			}
			for _, b := range s.Backups {
				last := "never"
				if !b.Last.IsZero() {
					last = b.Last.Local().Format(time.DateTime)
				}
				fmt.Fprintf(w, "backup\t%s, last %s\n", b.Folder, last)
			}
			if len(s.Backups) == 0 {
				fmt.Fprintln(w, "backup\tnone: karov backup init --repo DIR")
			}
		})
	}}
}
