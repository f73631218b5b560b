package pack

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/karov-crm/karov/appliance/fault"
)

// Build packs the plugin in a folder and signs it. The same files give the same bytes, whatever their times and owners.
//
// Left out is what a plugin needs only while it is being made: names that begin with a dot, Go's source and module
// files, folders named testdata, __pycache__ and node_modules, and packages. A secret key is refused.
func Build(dir string, w io.Writer, key *Signer, describe Describe) (*Manifest, error) {
	contents, m, err := prepare(dir, describe)
	if err != nil {
		return nil, err
	}
	if err := key.may(m); err != nil {
		return nil, err
	}
	return m, write(w, m, contents, key)
}

// prepare reads the plugin in a folder and lists what its package will hold.
func prepare(dir string, describe Describe) (map[string][]byte, *Manifest, error) {
	contents, m, err := gather(dir)
	if err != nil {
		return nil, nil, err
	}
	d, err := describe(contents[pluginYAML])
	if err != nil {
		return nil, nil, err
	}
	m.ID, m.Version, m.API, m.Permissions = d.ID, d.Version, d.API, d.Permissions
	if m.Arch, err = archOf(contents, m.Files, d); err != nil {
		return nil, nil, err
	}
	if err := m.check(); err != nil {
		return nil, nil, err
	}
	_, err = m.programs(d)
	return contents, m, err
}

// may tells whether the certificate covers what is to be signed.
func (s *Signer) may(m *Manifest) error {
	c := s.Certificate
	if !c.Covers(m.ID) {
		return fault.New(fault.Forbidden, "pack.namespace", "id", m.ID, "name", c.Name, "namespace", c.Namespace)
	}
	if beyond := m.Permissions.Beyond(c.Ceiling); len(beyond) > 0 {
		return fault.New(fault.Forbidden, "pack.beyond-ceiling", "name", c.Name, "what", cut(strings.Join(beyond, "; ")))
	}
	return nil
}

// write writes the zip, signed when there is a key.
func write(w io.Writer, m *Manifest, contents map[string][]byte, key *Signer) error {
	manifest, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	manifest = append(manifest, '\n')
	if len(manifest) > maxManifest {
		return refuse("pack.too-large", "what", ManifestName, "limit", maxManifest)
	}
	z := &zipWriter{w: w}
	for _, part := range key.seal(manifest) {
		if err := z.add(part.name, 0o644, part.content); err != nil {
			return fmt.Errorf("write the package: %w", err)
		}
	}
	for _, f := range m.Files {
		if err := z.add(f.Path, f.Mode, contents[f.Path]); err != nil {
			return fmt.Errorf("write the package: %w", err)
		}
	}
	if z.at > MaxPackage {
		return refuse("pack.too-large", "what", m.ID, "limit", MaxPackage)
	}
	if err := z.close(); err != nil {
		return fmt.Errorf("write the package: %w", err)
	}
	return nil
}

// leftOut tells whether a file or folder has no place in a package.
func leftOut(name string) bool {
	switch name {
	case "go.mod", "go.sum", "testdata", "__pycache__", "node_modules":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".go") || strings.HasSuffix(name, Extension)
}

// gather reads all files that belong into the package.
func gather(dir string) (map[string][]byte, *Manifest, error) {
	contents, m := map[string][]byte{}, &Manifest{Format: format}
	var total int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", path)
		}
		if path != dir && leftOut(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return fmt.Errorf("name a file: %w", err)
		}
		name = filepath.ToSlash(name)
		content, mode, err := readFile(path, name)
		if err != nil {
			return err
		}
		if total += int64(len(content)); total > MaxUnpacked {
			return refuse("pack.too-large", "what", dir, "limit", MaxUnpacked)
		}
		if len(m.Files) >= MaxFiles {
			return refuse("pack.too-many-files", "limit", MaxFiles)
		}
		sum := sha256.Sum256(content)
		contents[name] = content
		m.Files = append(m.Files, File{Path: name, Size: int64(len(content)), Mode: mode, SHA256: hex.EncodeToString(sum[:])})
		return nil
	})
	slices.SortFunc(m.Files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	if err == nil && contents[pluginYAML] == nil {
		err = refuse("pack.file-missing", "file", pluginYAML)
	}
	return contents, m, err
}

// readFile reads one plain file for a package.
func readFile(path, name string) (content []byte, mode uint32, err error) {
	if err := checkName(name); err != nil {
		return nil, 0, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		if st, lerr := os.Lstat(path); lerr == nil && st.Mode().Type() == fs.ModeSymlink {
			return nil, 0, refuse("pack.symlink", "file", name)
		}
		return nil, 0, fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", path)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", path)
	}
	if !st.Mode().IsRegular() {
		return nil, 0, refuse("pack.name-odd", "file", name)
	}
	if content, err = io.ReadAll(io.LimitReader(f, MaxPackage+1)); err != nil {
		return nil, 0, fault.Wrap(err, fault.Invalid, "pack.folder-unreadable", "file", path)
	}
	if len(content) > MaxPackage {
		return nil, 0, refuse("pack.too-large", "what", name, "limit", MaxPackage)
	}
	if secretInside(content) {
		return nil, 0, refuse("pack.secret-inside", "file", name)
	}
	if mode = 0o644; st.Mode()&0o100 != 0 {
		mode = 0o755
	}
	return content, mode, nil
}

// secretInside tells whether a file is that of a secret key of ours.
func secretInside(content []byte) bool {
	for _, kind := range []string{rootSecretBlock, secretBlock} {
		if bytes.HasPrefix(bytes.TrimSpace(content), []byte("-----BEGIN "+kind+"-----")) {
			return true
		}
	}
	return false
}

// archOf finds for which processors the package is: those of bin/, or that of the one program.
func archOf(contents map[string][]byte, files []File, d Description) ([]string, error) {
	if d.Script {
		return []string{AnyArch}, nil
	}
	binary := d.Binary
	if program, ok := contents[binary]; ok {
		arch, err := programArch(program, binary)
		return []string{arch}, err
	}
	var out []string
	for _, f := range files {
		folder, ok := strings.CutSuffix(strings.TrimPrefix(f.Path, "bin/"), "/"+binary)
		if !ok || !strings.HasPrefix(f.Path, "bin/") {
			continue
		}
		arch, err := programArch(contents[f.Path], f.Path)
		if err != nil {
			return nil, err
		}
		if programPath(arch, binary) != f.Path {
			return nil, refuse("pack.program-arch", "file", f.Path, "arch", arch, "folder", folder)
		}
		out = append(out, arch)
	}
	if len(out) == 0 {
		return nil, refuse("pack.program-missing", "file", binary)
	}
	slices.Sort(out)
	return out, nil
}

// programArch tells for which processor a program is.
func programArch(program []byte, name string) (string, error) {
	if bytes.HasPrefix(program, []byte("#!")) {
		return AnyArch, nil
	}
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "pack.program-unknown", "file", name)
	}
	switch f.Machine {
	case elf.EM_X86_64:
		return "linux/amd64", nil
	case elf.EM_AARCH64:
		return "linux/arm64", nil
	case elf.EM_ARM:
		return "linux/arm", nil
	case elf.EM_RISCV:
		return "linux/riscv64", nil
	}
	return "", refuse("pack.program-unknown", "file", name)
}
