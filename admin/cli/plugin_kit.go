package cli

import (
	"bytes"
	"context"
	"errors"
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
	"github.com/karov-crm/karov/appliance/plugin/pack"
)

// sourceVariable names a checkout of Karov for those who do not want to name it each time.
const sourceVariable = "KAROV_SOURCE"

// kitCommands are those of people who write plugins. None of them but dev needs a daemon.
func (c *command) kitCommands() []*cobra.Command {
	return []*cobra.Command{c.newPlugin(), c.packPlugin(), c.signPackage(), c.verifyPackage(), c.testPlugin(), c.developPlugin()}
}

func (c *command) newPlugin() *cobra.Command {
	d := kit.Draft{}
	cmd := &cobra.Command{Use: "new NAME", Short: "Make the folder of a new plugin", Args: exactly(1),
		Long: "Makes a plugin that builds, passes its tests and can be installed, to begin from: a channel (messages), a module (records of its own, " +
			"views, buttons) or a customisation (a rule over Karov's own records; also in Python). NAME is a word of lower-case letters and digits. " +
			"Without --replace the plugin is built with the published version of this program.",
		RunE: func(_ *cobra.Command, args []string) error {
			d.Name = args[0]
			if d.Dir == "" {
				d.Dir = d.Name
			}
			if d.Source == "" {
				d.Source = os.Getenv(sourceVariable)
			}
			if err := kit.New(d); err != nil {
				return err
			}
			return c.print(map[string]string{"folder": d.Dir}, func(w io.Writer) {
				fmt.Fprintf(w, "The plugin is in %s. Begin with its README.md; test it with: karov plugin test %s\n", d.Dir, d.Dir)
			})
		}}
	cmd.Flags().StringVar(&d.Kind, "kind", "module", "channel, module or custom")
	cmd.Flags().StringVar(&d.ID, "id", "", "reverse domain name that ends with NAME (default com.example.NAME)")
	cmd.Flags().StringVar(&d.Lang, "lang", "go", "go, or python (custom only)")
	cmd.Flags().StringVar(&d.Dir, "dir", "", "the folder to make (default NAME)")
	cmd.Flags().StringVar(&d.Source, "replace", "", "build against a checkout of Karov in this folder (also $"+sourceVariable+")")
	return cmd
}

// signing are the flags of those who sign.
type signing struct{ key, certificate string }

func (s *signing) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.key, "key-file", "", "file of the reseller's secret key")
	cmd.Flags().StringVar(&s.certificate, "certificate", "", "file of the reseller's certificate")
}

// signer reads the key and its certificate; nil when neither is named.
func (s *signing) signer() (*pack.Signer, error) {
	if s.key == "" && s.certificate == "" {
		return nil, nil
	}
	if s.key == "" || s.certificate == "" {
		return nil, usageError{errors.New("--key-file and --certificate belong together")}
	}
	raw, err := readSmall(s.key)
	if err != nil {
		return nil, err
	}
	key, err := pack.ReadResellerKey(raw)
	if err != nil {
		return nil, err
	}
	if raw, err = readSmall(s.certificate); err != nil {
		return nil, err
	}
	certificate, err := pack.ReadCertificate(raw)
	if err != nil {
		return nil, err
	}
	return pack.NewSigner(key, certificate)
}

func (c *command) packPlugin() *cobra.Command {
	var out string
	var s signing
	cmd := &cobra.Command{Use: "pack DIR", Short: "Build the plugin in a folder and make its package", Args: exactly(1),
		Long: "Compiles the plugin where its folder has Go's sources, and packs it. The same folder gives the same package, byte for byte. Without " +
			"--key-file and --certificate the package is not signed, and no office installs it before karov plugin sign.",
		RunE: func(cmd *cobra.Command, args []string) error {
			signer, err := s.signer()
			if err != nil {
				return err
			}
			m, raw, err := packed(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if signer != nil {
				if raw, err = signed(raw, signer); err != nil {
					return err
				}
			}
			if out == "" {
				out = m.ID + "-" + m.Version + pack.Extension
			}
			return c.deliver(out, raw)
		}}
	cmd.Flags().StringVarP(&out, "output", "o", "", "the file to write (default ID-VERSION"+pack.Extension+")")
	s.flags(cmd)
	return cmd
}

// packed builds the plugin in a folder and gives its unsigned package.
func packed(ctx context.Context, dir string) (*pack.Manifest, []byte, error) {
	work, err := os.MkdirTemp("", "karov-pack-")
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", os.TempDir())
	}
	defer os.RemoveAll(work)
	built := filepath.Join(work, "plugin")
	if _, err := kit.Build(ctx, dir, built); err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	m, err := hosted.BundlePackage(built, &b)
	return m, b.Bytes(), err
}

// signed gives a package with a signature.
func signed(raw []byte, signer *pack.Signer) ([]byte, error) {
	p, err := hosted.LookIntoPackage(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := p.Sign(&b, signer); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func (c *command) signPackage() *cobra.Command {
	var out string
	var s signing
	cmd := &cobra.Command{Use: "sign FILE", Short: "Sign a package, in the place of a signature that it has", Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			signer, err := s.signer()
			if err != nil {
				return err
			}
			if signer == nil {
				return usageError{errors.New("--key-file and --certificate are needed")}
			}
			raw, err := readPackage(args[0])
			if err != nil {
				return err
			}
			if raw, err = signed(raw, signer); err != nil {
				return err
			}
			if out == "" {
				out = args[0]
			}
			return c.deliver(out, raw)
		}}
	cmd.Flags().StringVarP(&out, "output", "o", "", "the file to write (default FILE itself)")
	s.flags(cmd)
	return cmd
}

// deliver writes a package whole or not at all, and says what it is.
func (c *command) deliver(name string, raw []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".karovplug-*")
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", name)
	}
	defer os.Remove(f.Name()) // after the rename there is nothing to remove
	_, err = f.Write(raw)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", name)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", name)
	}
	p, err := hosted.LookIntoPackage(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return err
	}
	return c.showFile(name, p, "")
}

// verifyPackage proves a package against roots that are named, without a daemon.
func (c *command) verifyPackage() *cobra.Command {
	var roots []string
	cmd := &cobra.Command{Use: "verify FILE", Short: "Prove a package whole and signed", Args: exactly(1),
		Long: "Reads the whole package and proves that each file is the one that was signed, and with --root that the root stands for the signer. " +
			"Without --root nothing is said about who the signer is. An office does the same, with the roots that it trusts, before it installs.",
		RunE: func(_ *cobra.Command, args []string) error {
			raw, err := readPackage(args[0])
			if err != nil {
				return err
			}
			r, size := bytes.NewReader(raw), int64(len(raw))
			p, err := hosted.LookIntoPackage(r, size)
			if err != nil {
				return err
			}
			if !p.Signed() {
				return fault.New(fault.Invalid, "pack.unsigned", "file", pack.SignatureName)
			}
			if len(roots) == 0 {
				return c.showFile(args[0], p, "")
			}
			trust := &pack.Trust{}
			for _, name := range roots {
				file, err := readSmall(name)
				if err != nil {
					return err
				}
				root, err := pack.ReadRoot(file)
				if err != nil {
					return err
				}
				trust.Roots = append(trust.Roots, root)
			}
			if p, err = hosted.VerifyPackage(r, size, trust, time.Now(), ""); err != nil {
				return err
			}
			return c.showFile(args[0], p, p.Root.Name)
		}}
	cmd.Flags().StringArrayVar(&roots, "root", nil, "file of a root to believe")
	return cmd
}

// showFile says what a package is; root is who stands for its signer, "" when nobody was asked.
func (c *command) showFile(name string, p *pack.Package, root string) error {
	m := p.Manifest
	shown := struct {
		File    string   `json:"file"`
		ID      string   `json:"id"`
		Version string   `json:"version"`
		Hash    string   `json:"hash"`
		Arch    []string `json:"arch"`
		Files   int      `json:"files"`
		Signer  string   `json:"signer,omitempty"`
		Root    string   `json:"root,omitempty"`
		Asks    []string `json:"asks,omitempty"`
	}{name, m.ID, m.Version, p.Hash, m.Arch, len(m.Files), p.Certificate.Name, root, m.Permissions.Phrases()}
	return c.print(shown, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s %s for %s, %d files\nhash %s\n", name, m.ID, m.Version, strings.Join(m.Arch, ", "), len(m.Files), p.Hash)
		switch {
		case !p.Signed():
			fmt.Fprintln(w, "not signed")
		case root == "":
			fmt.Fprintf(w, "signed by %s, for whom no root was asked\n", p.Certificate.Name)
		default:
			fmt.Fprintf(w, "signed by %s, certified by %s\n", p.Certificate.Name, root)
		}
		for _, asked := range shown.Asks {
			fmt.Fprintln(w, "asks for: "+asked)
		}
	})
}

// showKey says what is in the file of a key, a certificate or a list, without a word of what is secret.
func (c *command) showKey() *cobra.Command {
	return &cobra.Command{Use: "show FILE", Short: "Say what a key, certificate or list is; nothing secret is shown", Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			raw, err := readSmall(args[0])
			if err != nil {
				return err
			}
			about, err := describeKey(raw)
			if err != nil {
				return err
			}
			return c.print(about, func(w io.Writer) {
				for _, name := range []string{"kind", "name", "id", "namespace", "ceiling", "serial", "root", "from", "until", "counter"} {
					if about[name] != "" {
						fmt.Fprintf(w, "%s\t%s\n", name, about[name])
					}
				}
			})
		}}
}

func describeKey(raw []byte) (map[string]string, error) {
	if r, err := pack.ReadRoot(raw); err == nil {
		return map[string]string{"kind": "root", "name": r.Name, "id": r.ID()}, nil
	}
	if k, err := pack.ReadRootKey(raw); err == nil {
		return map[string]string{"kind": "root, secret", "name": k.Name, "id": k.ID()}, nil
	}
	if r, err := pack.ReadReseller(raw); err == nil {
		return map[string]string{"kind": "reseller", "name": r.Name}, nil
	}
	if k, err := pack.ReadResellerKey(raw); err == nil {
		return map[string]string{"kind": "reseller, secret", "name": k.Name}, nil
	}
	if l, err := pack.ReadRevocations(raw); err == nil {
		return map[string]string{"kind": "revocations", "root": l.Root, "counter": fmt.Sprint(l.Counter), "from": l.Issued.Format(time.DateOnly)}, nil
	}
	cert, err := pack.ReadCertificate(raw)
	if err != nil {
		return nil, fault.New(fault.Invalid, "pack.key-other", "want", "KAROV")
	}
	return map[string]string{"kind": "certificate", "name": cert.Name, "namespace": cert.Namespace, "serial": cert.Serial, "root": cert.Root,
		"ceiling": strings.Join(cert.Ceiling.Phrases(), "; "), "from": cert.NotBefore.Format(time.DateOnly), "until": cert.NotAfter.Format(time.DateOnly)}, nil
}
