package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
)

// Extract unpacks the package into a new folder, read-only, with the program for one architecture beside plugin.yaml.
// Each file is held against what was signed once more. Everything is on the disk when it returns; what it made before
// an error is the caller's to remove.
func (p *Package) Extract(to, arch string) error {
	programs, err := p.Manifest.programs(p.described)
	if err != nil {
		return err
	}
	program := programs[arch]
	if program == "" {
		program = programs[AnyArch]
	}
	if program == "" {
		return refuse("pack.wrong-arch", "arch", strings.Join(p.Manifest.Arch, ", "), "here", arch)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", to)
	}
	for name, raw := range p.seal {
		if err := create(filepath.Join(to, name), 0o444, func(w io.Writer) error { _, err := w.Write(raw); return err }); err != nil {
			return err
		}
	}
	for _, f := range p.Manifest.Files {
		name := f.Path
		switch {
		case name == program:
			name = p.described.Binary
		case isProgram(programs, name):
			continue // for another processor
		}
		path := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", path)
		}
		if err := create(path, fs.FileMode(f.Mode)&0o555, func(w io.Writer) error { return p.copyFile(w, f) }); err != nil {
			return err
		}
	}
	return settle(to)
}

func isProgram(programs map[string]string, name string) bool {
	for _, path := range programs {
		if path == name {
			return true
		}
	}
	return false
}

// create makes a file that was not there, durably.
func create(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", path)
	}
	err = fill(f)
	var known *fault.Error
	if errors.As(err, &known) {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", path)
	}
	return nil
}

// settle makes the folders read-only and durable, the innermost first.
func settle(dir string) error {
	folders, err := foldersOf(dir)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", dir)
	}
	for _, folder := range slices.Backward(folders) {
		d, err := os.Open(folder)
		if err != nil {
			return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", folder)
		}
		if err := errors.Join(d.Chmod(0o555), d.Sync(), d.Close()); err != nil {
			return fault.Wrap(err, fault.Unavailable, "pack.unwritable", "file", folder)
		}
	}
	return nil
}

func foldersOf(dir string) (folders []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	return folders, err
}

// Remove deletes what Extract made, whole or in part.
func Remove(dir string) error {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open a folder for removal: %w", err)
	}
	return os.RemoveAll(dir)
}

// Sound proves that an unpacked package is still the one with this hash, signed by the certificate beside it, with
// nothing changed, added or missing. It does not ask whether that certificate is valid now.
func Sound(dir, hash string, describe Describe) (*Package, error) {
	p := &Package{seal: map[string][]byte{}, Hash: hash}
	for _, name := range []string{ManifestName, SignatureName, CertificateName} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "pack.installed-damaged", "file", filepath.Join(dir, name))
		}
		p.seal[name] = raw
	}
	sum := sha256.Sum256(p.seal[ManifestName])
	c, err := ReadCertificate(p.seal[CertificateName])
	if err != nil || hex.EncodeToString(sum[:]) != hash || !verify(c.Key, manifestDomain, p.seal[ManifestName], p.seal[SignatureName]) {
		return nil, fault.Wrap(err, fault.Invalid, "pack.installed-damaged", "file", filepath.Join(dir, ManifestName))
	}
	p.Certificate = *c
	if err := p.readManifest(); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, pluginYAML))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "pack.installed-damaged", "file", filepath.Join(dir, pluginYAML))
	}
	d, err := describe(raw)
	if err != nil {
		return nil, err
	}
	p.described = d
	return p, p.checkInstalled(dir)
}

// ProgramSum gives the SHA-256 of the program that a package brought into a folder, "" for a folder that no package
// brought. It believes what lies there: Sound is what proves it.
func ProgramSum(dir, binary, arch string) string {
	raw, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		return ""
	}
	var m Manifest
	if err := decodeStrictly(raw, &m); err != nil {
		return ""
	}
	for _, path := range []string{programPath(arch, binary), programPath(AnyArch, binary), binary} {
		if i := slices.IndexFunc(m.Files, func(f File) bool { return f.Path == path }); i >= 0 {
			return m.Files[i].SHA256
		}
	}
	return ""
}

// checkInstalled holds the files of a folder against the manifest.
func (p *Package) checkInstalled(dir string) error {
	programs, err := p.Manifest.programs(p.described)
	if err != nil {
		return err
	}
	left := map[string]File{}
	for _, f := range p.Manifest.Files {
		if !isProgram(programs, f.Path) {
			left[f.Path] = f
		}
	}
	seen := false
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if sealName(name) && d.Type().IsRegular() {
			return nil
		}
		sum, err := sumOf(path, d)
		if err != nil {
			return err
		}
		if name == p.described.Binary {
			seen = slices.ContainsFunc(p.Manifest.Files, func(f File) bool { return isProgram(programs, f.Path) && f.SHA256 == sum })
			return nil
		}
		if f, ok := left[name]; !ok || f.SHA256 != sum {
			return fmt.Errorf("%s is another", name)
		}
		delete(left, name)
		return nil
	})
	if err == nil && (len(left) > 0 || !seen) {
		err = errors.New("something is missing, or the program is another")
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "pack.installed-damaged", "file", dir)
	}
	return nil
}

func sumOf(path string, d fs.DirEntry) (string, error) {
	if !d.Type().IsRegular() {
		return "", fmt.Errorf("%s is no plain file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
