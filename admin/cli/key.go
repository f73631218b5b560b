package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// keys are the commands of those who sign: they need no daemon. A secret is written to a file that only its owner can
// read, never over another file, and is never printed.
func (c *command) keys() *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Make the keys and certificates with which packages are signed",
		Long: "A root certifies resellers; a reseller signs packages within his namespace and up to a ceiling of permissions; an office that trusts " +
			"the root installs them. Keep FILE of a root and of a reseller secret: who has it, signs in that name."}
	cmd.AddCommand(c.rootKey(), c.resellerKey(), c.certify(), c.revoke(), c.showKey())
	return cmd
}

func (c *command) rootKey() *cobra.Command {
	return &cobra.Command{Use: "root NAME FILE", Short: "Make a root: its secret in FILE, for offices in FILE.pub", Args: exactly(2), RunE: func(_ *cobra.Command, args []string) error {
		k, err := pack.GenerateRoot(args[0])
		if err != nil {
			return err
		}
		public, err := k.Encode()
		if err != nil {
			return err
		}
		secret, err := k.Secret()
		if err != nil {
			return err
		}
		if err := writePair(args[1], secret, public); err != nil {
			return err
		}
		return c.print(map[string]string{"id": k.ID(), "name": k.Name}, func(w io.Writer) {
			fmt.Fprintf(w, "The root %s (%s). Secret: %s. For offices: %s.pub, by karov plugin trust add\n", k.Name, k.ID(), args[1], args[1])
		})
	}}
}

func (c *command) resellerKey() *cobra.Command {
	return &cobra.Command{Use: "reseller NAME FILE", Short: "Make a reseller: his secret in FILE, for the root in FILE.pub", Args: exactly(2), RunE: func(_ *cobra.Command, args []string) error {
		k, err := pack.GenerateReseller(args[0])
		if err != nil {
			return err
		}
		public, err := k.Encode()
		if err != nil {
			return err
		}
		secret, err := k.Secret()
		if err != nil {
			return err
		}
		if err := writePair(args[1], secret, public); err != nil {
			return err
		}
		return c.print(map[string]string{"name": k.Name}, func(w io.Writer) {
			fmt.Fprintf(w, "The reseller %s. Secret: %s. For the root's owner: %s.pub, by karov plugin key certify\n", k.Name, args[1], args[1])
		})
	}}
}

// certify signs a reseller's certificate.
func (c *command) certify() *cobra.Command {
	var namespace, ceiling string
	var days int
	cmd := &cobra.Command{Use: "certify ROOTFILE RESELLER.pub FILE", Short: "Certify a reseller with a root's secret", Args: exactly(3),
		Long: "Writes to FILE a certificate with which the reseller may sign plugins called like the namespace or below it. The ceiling is a JSON file: " +
			`{"records": [{"entity": "contact", "verbs": ["see"]}], "egress": [{"to": "*.example.com:443"}], "memory": 536870912, "storage": 536870912}; ` +
			`"*" stands for each entity, verb, host or port. The word all forbids nothing.`,
		RunE: func(_ *cobra.Command, args []string) error {
			terms := pack.Terms{Namespace: namespace, Ceiling: pack.Everything(), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, days)}
			if days < 1 || namespace == "" || ceiling == "" {
				return usageError{errors.New("--namespace and --ceiling are needed, and --days of at least 1")}
			}
			if ceiling != "all" {
				var err error
				if terms.Ceiling, err = readCeiling(ceiling); err != nil {
					return err
				}
			}
			root, err := readRootKey(args[0])
			if err != nil {
				return err
			}
			raw, err := readSmall(args[1])
			if err != nil {
				return err
			}
			reseller, err := pack.ReadReseller(raw)
			if err != nil {
				return err
			}
			certificate, err := root.IssueCertificate(reseller, terms)
			if err != nil {
				return err
			}
			if err := writeNew(args[2], certificate.Encode(), 0o644); err != nil {
				return err
			}
			return c.print(map[string]any{"serial": certificate.Serial, "name": certificate.Name, "until": certificate.NotAfter}, func(w io.Writer) {
				fmt.Fprintf(w, "%s may sign %s and below until %s. Serial number: %s\n", certificate.Name, namespace,
					certificate.NotAfter.Format(time.DateOnly), certificate.Serial)
			})
		}}
	cmd.Flags().StringVar(&namespace, "namespace", "", "beginning of the plugins' ids, as com.example")
	cmd.Flags().StringVar(&ceiling, "ceiling", "", "file of the most that the plugins may ask for, or all")
	cmd.Flags().IntVar(&days, "days", 365, "how long it is valid for new installations")
	return cmd
}

func readCeiling(name string) (p pack.Permissions, err error) {
	raw, err := readSmall(name)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, usageError{fmt.Errorf("%s is no ceiling: %w", name, err)}
	}
	return p, nil
}

func readRootKey(name string) (*pack.RootKey, error) {
	raw, err := readSmall(name)
	if err != nil {
		return nil, err
	}
	return pack.ReadRootKey(raw)
}

// revoke signs a revocation list.
func (c *command) revoke() *cobra.Command {
	var certificates, packages []string
	var after string
	cmd := &cobra.Command{Use: "revoke ROOTFILE FILE", Short: "Take certificates or packages back", Args: exactly(2),
		Long: "Writes to FILE a list of what a root no longer stands for, for offices to take in: karov plugin revocations import FILE. " +
			"Give the list before it with --after, so that the new one holds what that one held and is known as newer.",
		RunE: func(_ *cobra.Command, args []string) error {
			root, err := readRootKey(args[0])
			if err != nil {
				return err
			}
			var before *pack.Revocations
			if after != "" {
				raw, err := readSmall(after)
				if err != nil {
					return err
				}
				if before, err = pack.ReadRevocations(raw); err != nil {
					return err
				}
			}
			list, err := root.Revoke(before, certificates, packages, time.Now())
			if err != nil {
				return err
			}
			if err := writeNew(args[1], list.Encode(), 0o644); err != nil {
				return err
			}
			return c.print(map[string]any{"counter": list.Counter}, func(w io.Writer) {
				fmt.Fprintf(w, "List %d: %d certificates, %d packages\n", list.Counter, len(list.Certificates), len(list.Packages))
			})
		}}
	cmd.Flags().StringArrayVar(&certificates, "certificate", nil, "serial number of a certificate")
	cmd.Flags().StringArrayVar(&packages, "package", nil, "hash of a package, as karov plugin list --json shows it")
	cmd.Flags().StringVar(&after, "after", "", "the list before this one")
	return cmd
}

// writePair writes a secret and what belongs to it.
func writePair(name string, secret, public []byte) error {
	if err := writeNew(name, secret, 0o600); err != nil {
		return err
	}
	return writeNew(name+".pub", public, 0o644)
}

// writeNew writes a file that was not there before.
func writeNew(name string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Conflict, "pack.file-exists", "file", name)
	}
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", name)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", name)
	}
	return nil
}
