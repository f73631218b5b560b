// Package confine locks a plugin's process in before its first instruction runs.
//
// The host starts `karov plugin-exec` instead of the plugin. That is Main: it reads a Spec from an inherited file, takes
// from its own process everything the plugin shall not have, tells the host what holds, and becomes the plugin by
// executing the very file whose content it compared with the package's.
//
// It promises, at the level Full: files only below the plugin's own folders and what the Spec names (landlock, at
// whatever the kernel offers, never by best effort in silence); no socket but a local one, hence no network at all;
// no second process, no second program, no look into or signal to another process; no memory, file or descriptor past
// its limits; nothing gained by a later exec. Level Files lacks what kernels before 6.12 cannot do: abstract local
// sockets stay in reach. Below Files nothing runs unless the Spec's Minimum says so.
//
// What it cannot do: landlock lets a plugin learn whether a path exists and how big the file is; kernels before 7.1 let
// it connect to any socket file that its user may open, so whoever listens must ask for more than the user's number;
// disk space and the number of threads have no limit in the kernel that fits, so the host watches them.
//
// It owns nothing. It uses nothing of Karov and starts no threads: the calls below hold for one thread, which is the
// one that executes.
package confine

import (
	"fmt"
	"strings"
)

// Command is the word by which the karov program is told to be the launcher.
const Command = "plugin-exec"

// Level says how much of the confinement holds.
type Level string

// The levels, from the least.
const (
	None  Level = "none"  // the plugin may do all that Karov's own user may
	Files Level = "files" // no foreign file, process or network; landlock from ABI 2
	Full  Level = "full"  // and no abstract local socket or signal by any detour; landlock from ABI 6
)

func (l Level) rank() int {
	switch l {
	case Full:
		return 2
	case Files:
		return 1
	}
	return 0
}

// Below tells whether the level is less than another.
func (l Level) Below(other Level) bool { return l.rank() < other.rank() }

// Known tells whether the level is one of the three.
func (l Level) Known() bool { return l == None || l == Files || l == Full }

// Spec says what a plugin may have. Paths are absolute.
type Spec struct {
	Program     string   `json:"program"`               // path of the plugin's program; the file itself is inherited open
	SHA256      string   `json:"sha256,omitempty"`      // of the program, in hexadecimal; "" when nobody knows it
	Interpreter string   `json:"interpreter,omitempty"` // "python3", or "" for a program of its own
	Work        string   `json:"work"`                  // the folder it writes to, and where it starts
	Package     string   `json:"package"`               // the folder it came in
	Sockets     string   `json:"sockets"`               // where it and the host listen
	Read        []string `json:"read,omitempty"`        // what else it may read; what is not there is passed over
	Write       []string `json:"write,omitempty"`       // where else it may write, likewise
	Minimum     Level    `json:"minimum"`               // below this it is not started
	Parent      int      `json:"parent"`                // the host's process: when that ends, so does this one
	UID         int      `json:"uid,omitempty"`         // run as this user; 0 is to stay, and only root can change
	GID         int      `json:"gid,omitempty"`
	Limits      Limits   `json:"limits"`
}

// Limits are the bounds that the kernel keeps. A zero has no bound.
type Limits struct {
	Memory    uint64 `json:"memory"`     // bytes of memory of its own
	OpenFiles uint64 `json:"open_files"` // descriptors
	FileSize  uint64 `json:"file_size"`  // bytes of one file
	Tasks     uint64 `json:"tasks"`      // processes and threads of the whole user, past which this one gets no more
}

// Report says what holds, part by part.
type Report struct {
	Level       Level `json:"level"`
	Landlock    int   `json:"landlock"`     // its ABI, 0 when the kernel has none
	SystemCalls bool  `json:"system_calls"` // the filter of system calls, and with it the ban of networks and processes
	Limits      bool  `json:"limits"`
	OwnUser     int   `json:"own_user,omitempty"` // the user it runs as, when not the host's
}

// judge gives the level of what holds.
func (r *Report) judge() {
	switch {
	case r.Landlock >= fullABI && r.SystemCalls && r.Limits:
		r.Level = Full
	case r.Landlock >= leastABI && r.SystemCalls && r.Limits:
		r.Level = Files
	default:
		r.Level = None
	}
}

// Parts names what holds, for a list: "landlock 7", "seccomp", "no network", "limits".
func (r Report) Parts() []string {
	var parts []string
	if r.Landlock > 0 {
		parts = append(parts, fmt.Sprintf("landlock %d", r.Landlock))
	}
	if r.SystemCalls {
		parts = append(parts, "seccomp", "no network")
	}
	if r.Limits {
		parts = append(parts, "limits")
	}
	if r.OwnUser != 0 {
		parts = append(parts, fmt.Sprintf("user %d", r.OwnUser))
	}
	return parts
}

// String is the level with its parts, as `karov plugin list` shows it.
func (r Report) String() string {
	if parts := r.Parts(); len(parts) > 0 {
		return string(r.Level) + " (" + strings.Join(parts, ", ") + ")"
	}
	return string(r.Level)
}

// The inherited files of the launcher, after the one that the plugin keeps (standard files and its life line).
const (
	firstFD   = 4
	specFD    = firstFD
	reportFD  = firstFD + 1
	programFD = firstFD + 2
)

// Why a launcher did not start the plugin.
const (
	WhyIsolation = "isolation" // the kernel offers less than the minimum
	WhyChanged   = "changed"   // the program is not the one of the package
	WhyFailed    = "failed"    // anything else
)

// outcome is the line that the launcher writes before it becomes the plugin, or instead.
type outcome struct {
	Report Report `json:"report"`
	Why    string `json:"why,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Refusal says why a plugin was not started.
type Refusal struct {
	Why    string // one of the Why constants
	Detail string
	Report Report // what would have held
}

// Error describes the refusal for a log.
func (r *Refusal) Error() string { return "the plugin was not started: " + r.Detail }
