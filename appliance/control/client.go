package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/karov-crm/karov/appliance/fault"
)

// Client speaks with the daemon of a data folder.
type Client struct {
	http *http.Client
	key  string // path of the key
}

// Dial makes a client. Whether a daemon answers shows with the first call.
func Dial(data string) (*Client, error) {
	dir, err := RunDir(data)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, socketName)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
	return &Client{http: &http.Client{Transport: transport}, key: filepath.Join(dir, keyName)}, nil
}

// Wish is one call of an act.
type Wish struct {
	Act      string
	Args     any
	File     io.Reader             // sent after the arguments; nil for none
	Progress func(json.RawMessage) // told each step; nil to ignore
	Result   any                   // where the result is read into; nil to ignore
}

// Do calls an act. When no daemon answers it is an Unavailable fault "control.not-running".
func (c *Client) Do(ctx context.Context, w Wish) error {
	args, err := json.Marshal(w.Args)
	if err != nil {
		return fmt.Errorf("write arguments: %w", err)
	}
	body := io.Reader(bytes.NewReader(append(args, '\n')))
	if w.File != nil {
		body = io.MultiReader(body, w.File)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://karov/"+w.Act, body)
	if err != nil {
		return fmt.Errorf("make call: %w", err)
	}
	key, err := os.ReadFile(c.key) // anew each time: a daemon that was started again has another
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fault.Wrap(err, fault.Forbidden, "control.not-allowed")
	}
	request.Header.Set(keyHeader, string(key))
	response, err := c.http.Do(request)
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fault.Wrap(err, fault.Unavailable, "control.not-running")
	}
	if err != nil {
		return fmt.Errorf("call daemon: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusForbidden {
		return fault.New(fault.Forbidden, "control.not-allowed")
	}
	return read(response.Body, w)
}

func read(body io.Reader, w Wish) error {
	lines := json.NewDecoder(body)
	for {
		var a struct {
			Progress json.RawMessage `json:"progress"`
			Result   json.RawMessage `json:"result"`
			Fault    *wireFault      `json:"fault"`
		}
		if err := lines.Decode(&a); err != nil {
			return fault.Wrap(err, fault.Unavailable, "control.cut-off")
		}
		switch {
		case a.Fault != nil:
			f := &fault.Error{Kind: a.Fault.Kind, Key: a.Fault.Key, Params: a.Fault.Params, Fields: a.Fault.Fields}
			if a.Fault.Detail != "" {
				f.Err = errors.New(a.Fault.Detail)
			}
			return f
		case a.Result != nil:
			if w.Result == nil {
				return nil
			}
			return json.Unmarshal(a.Result, w.Result)
		case a.Progress != nil && w.Progress != nil:
			w.Progress(a.Progress)
		}
	}
}
