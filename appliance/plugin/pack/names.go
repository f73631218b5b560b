package pack

import (
	"regexp"
	"strings"
)

// Limits of a file's name.
const (
	maxName  = 200
	maxDepth = 10
)

var segmentForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+@-]*$`)

// checkName refuses a name that could mean a place outside the folder, or that some system reads otherwise.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > maxName || strings.Count(name, "/") >= maxDepth:
		return refuse("pack.name-odd", "file", cut(name))
	case strings.HasPrefix(name, "/") || len(name) > 1 && name[1] == ':':
		return refuse("pack.path-absolute", "file", cut(name))
	}
	for part := range strings.SplitSeq(strings.ReplaceAll(name, `\`, "/"), "/") {
		if part == ".." {
			return refuse("pack.path-traversal", "file", cut(name))
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if !segmentForm.MatchString(part) {
			return refuse("pack.name-odd", "file", cut(name))
		}
	}
	return nil
}

// checkNames checks each name, and that no two are one on a system that does not tell large from small letters.
func checkNames(names []string) error {
	files, folders := map[string]string{}, map[string]string{}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return err
		}
		folded := strings.ToLower(name)
		if other, taken := files[folded]; taken {
			if other == name {
				return refuse("pack.file-twice", "file", name)
			}
			return refuse("pack.names-collide", "file", name, "other", other)
		}
		files[folded] = name
		for i, c := range folded {
			if c != '/' {
				continue
			}
			if other, seen := folders[folded[:i]]; seen && other != name[:i] {
				return refuse("pack.names-collide", "file", name, "other", other)
			}
			folders[folded[:i]] = name[:i]
		}
	}
	for folded, name := range files {
		if other, taken := folders[folded]; taken {
			return refuse("pack.names-collide", "file", name, "other", other+"/")
		}
	}
	return nil
}
