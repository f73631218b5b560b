// Package control is the local door: the `karov` commands speak through it with the daemon that owns the data.
//
// A BoltDB file has one owner, so a command does not open the data; it asks the daemon over a unix socket in the data
// folder. A call is a POST of one JSON value, after which a file may follow; the answer is lines of JSON: progress, then
// a result or a fault. Whoever may open the socket and read the key beside it (the daemon's own user and root) acts as the
// appliance itself. The key is for plugins: they are the same user, and kernels before 7.1 let them reach any socket of
// his, but never a file.
//
// It owns the socket. It promises that nobody else is listened to, and that a fault reaches the command with its kind,
// fields and lines. It will not know what the acts do: main registers them.
package control

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
)

const (
	socketName = "control.sock"
	keyName    = "control.key"
	keyHeader  = "Karov-Key"
	// maxSocketPath leaves room below the 108 bytes that the kernel gives a unix socket's path (unix(7)).
	maxSocketPath = 60
)

// RunDir is the folder of the sockets of a data folder: inside it, or a folder of this user's in the system's temporary
// folder when that path would be too long for a socket. It is the same for the daemon and for its commands.
func RunDir(data string) (string, error) {
	abs, err := filepath.Abs(data)
	if err != nil {
		return "", fmt.Errorf("find data folder: %w", err)
	}
	dir := filepath.Join(abs, "run")
	if len(dir) > maxSocketPath {
		sum := sha256.Sum256([]byte(abs))
		dir = filepath.Join(os.TempDir(), "karov-"+hex.EncodeToString(sum[:8]))
	}
	return dir, nil
}

// MakeRunDir makes the folder of the sockets, for its owner only. A folder of somebody else under its name is refused.
func MakeRunDir(data string) (string, error) {
	dir, err := RunDir(data)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make folder of sockets: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("look at folder of sockets: %w", err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o077 != 0 {
		return "", fault.New(fault.Forbidden, "control.run-folder", "folder", dir)
	}
	return dir, nil
}

// Call is one command's wish.
type Call struct {
	args json.RawMessage
	File io.Reader // what follows the arguments

	mu  sync.Mutex
	out *json.Encoder
	fl  http.Flusher
}

// Args reads the arguments.
func (c *Call) Args(into any) error {
	if err := json.Unmarshal(c.args, into); err != nil {
		return fault.Wrap(err, fault.Invalid, "control.arguments")
	}
	return nil
}

// Progress tells the command how far the act is. It may be called from any goroutine.
func (c *Call) Progress(v any) {
	c.send(answer{Progress: v})
}

func (c *Call) send(a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.out.Encode(a) // a command that went away is noticed by the end of its context
	c.fl.Flush()
}

type answer struct {
	Progress any        `json:"progress,omitempty"`
	Result   any        `json:"result,omitempty"`
	Fault    *wireFault `json:"fault,omitempty"`
}

type wireFault struct {
	Kind   fault.Kind        `json:"kind"`
	Key    string            `json:"key"`
	Params map[string]string `json:"params,omitempty"`
	Fields []fault.Field     `json:"fields,omitempty"`
	Detail string            `json:"detail,omitempty"`
}

// Act does what a command wishes and gives what it prints.
type Act func(ctx context.Context, c *Call) (any, error)

// Server answers commands.
type Server struct {
	acts map[string]Act
	key  string
	log  *slog.Logger
	http *http.Server
}

// NewServer makes a server without acts.
func NewServer(log *slog.Logger) *Server {
	s := &Server{acts: map[string]Act{}, log: log}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, mayCall(c))
		}}
	return s
}

// Handle registers an act. It is called while the appliance is put together.
func (s *Server) Handle(name string, act Act) { s.acts[name] = act }

type peerKey struct{}

// Door is an open socket with its key.
type Door struct {
	net.Listener
	key string
}

// Listen opens the socket of a data folder and makes its key anew. A socket that a killed daemon left is replaced: the
// caller holds the lock of the data, so nobody else answers on it.
func Listen(data string) (*Door, error) {
	dir, err := MakeRunDir(data)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, socketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove old socket: %w", err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	key := rand.Text()
	if err := errors.Join(os.Chmod(path, 0o600), writeKey(filepath.Join(dir, keyName), key)); err != nil {
		return nil, errors.Join(fmt.Errorf("make control socket: %w", err), ln.Close())
	}
	return &Door{Listener: ln, key: key}, nil
}

// writeKey writes the key whole, so that no command reads half of it.
func writeKey(path, key string) error {
	f, err := os.CreateTemp(filepath.Dir(path), keyName+"-*") // for its owner only
	if err != nil {
		return err
	}
	_, err = f.WriteString(key)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// Serve answers until Close, and not at all after it.
func (s *Server) Serve(ln *Door) error {
	s.key = ln.key
	err := s.http.Serve(ln)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends the server, waiting for running acts until ctx ends.
func (s *Server) Close(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// mayCall asks the kernel who is on the other end.
func mayCall(c net.Conn) bool {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return false
	}
	allowed := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		allowed = err == nil && (cred.Uid == 0 || int(cred.Uid) == os.Getuid())
	})
	return err == nil && allowed
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	flusher, ok := w.(http.Flusher)
	act := s.acts[filepath.Base(r.URL.Path)]
	known := s.key != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get(keyHeader)), []byte(s.key)) == 1
	if allowed, _ := r.Context().Value(peerKey{}).(bool); !ok || !allowed || !known || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	// Progress is written while the file is still being read; without this the server would read all of it first.
	_ = http.NewResponseController(w).EnableFullDuplex()
	call := &Call{out: json.NewEncoder(w), fl: flusher}
	if act == nil {
		call.send(answer{Fault: toWire(fault.New(fault.NotFound, "control.no-such-act"))})
		return
	}
	body := bufio.NewReader(r.Body)
	line, err := body.ReadBytes('\n')
	if err != nil {
		call.send(answer{Fault: toWire(fault.Wrap(err, fault.Invalid, "control.arguments"))})
		return
	}
	call.args, call.File = line, body
	ctx := access.WithActor(r.Context(), access.Appliance())
	result, err := act(ctx, call)
	if err != nil {
		if kind := fault.KindOf(err); kind == fault.Internal {
			s.log.Error("command failed", "act", filepath.Base(r.URL.Path), "error", err)
		}
		call.send(answer{Fault: toWire(fault.Of(err))})
		return
	}
	if result == nil {
		result = struct{}{}
	}
	call.send(answer{Result: result})
}

func toWire(f *fault.Error) *wireFault {
	w := &wireFault{Kind: f.Kind, Key: f.Key, Params: f.Params, Fields: f.Fields}
	if f.Err != nil {
		w.Detail = f.Err.Error()
	}
	return w
}
