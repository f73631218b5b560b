package frame

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"
)

//go:embed assets
var assetFiles embed.FS

// assets are the files a browser needs, each under an address that carries the hash of its content, so that it may be
// kept for ever and changes its address when it changes.
type assets struct {
	urls  map[string]string // "kernel.js" -> "/static/kernel.3f2a….js"
	files map[string]asset  // by address
}

type asset struct {
	media        string
	plain, gzips []byte
}

func loadAssets() (*assets, error) {
	a := &assets{urls: map[string]string{}, files: map[string]asset{}}
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		return nil, err
	}
	var sheets []string
	for _, e := range entries {
		switch name := e.Name(); {
		case e.IsDir():
		case path.Ext(name) == ".css": // after the fonts that it names
			sheets = append(sheets, name)
		default:
			if err := a.add(name, false); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range sheets {
		if err := a.add(name, true); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *assets) add(name string, rewrite bool) error {
	raw, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		return err
	}
	if rewrite {
		for other, url := range a.urls {
			raw = bytes.ReplaceAll(raw, []byte(`url("`+other+`")`), []byte(`url("`+url+`")`))
		}
	}
	sum := sha256.Sum256(raw)
	ext := path.Ext(name)
	url := "/static/" + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
	f := asset{media: mediaType(ext), plain: raw}
	if ext != ".woff2" {
		if f.gzips, err = squeeze(raw); err != nil {
			return fmt.Errorf("compress %s: %w", name, err)
		}
	}
	a.urls[name], a.files[url] = url, f
	return nil
}

func mediaType(ext string) string {
	switch ext {
	case ".woff2":
		return "font/woff2"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "application/octet-stream"
}

func squeeze(raw []byte) ([]byte, error) {
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil { // before the bytes are taken: it writes the last of them
		return nil, err
	}
	return buf.Bytes(), nil
}

func (a *assets) url(name string) string { return a.urls[name] }

func (f *Frame) serveAsset(c echo.Context) error {
	file, ok := f.assets.files[c.Request().URL.Path]
	if !ok {
		return echo.ErrNotFound
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	if file.gzips != nil && strings.Contains(c.Request().Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		return c.Blob(http.StatusOK, file.media, file.gzips)
	}
	return c.Blob(http.StatusOK, file.media, file.plain)
}
