// Package machinetest proves the Debian package on machines: a Debian that is
// freshly made for it and really booted (systemd-nspawn), and a bare root without
// a running systemd. Installed, used, upgraded, removed, installed again, purged; and
// with a plugin that another package brings.
//
// It needs root, Linux and the built package, and takes the machine's attention
// for a minute, so `go run ./packaging/build test` runs it by itself, last, and
// tells it in KAROV_DEB where the package is. A plain `go test ./...` skips it and
// says so. The fresh Debian is made once and kept in the cache (KAROV_CACHE).
//
// It promises to leave nothing running and nothing mounted, also when killed. It
// does not test what the daemon does, only that it does it as installed.
package machinetest
