// Package example holds three plugins that are made to be copied: a channel, a module with entities and views, and a
// customisation of Karov's own records; the last one in Go and in Python.
//
// They are the pattern of `karov plugin new`, so that what it writes is what the tests of this folder run. It promises
// that each main program has at most 150 lines. It will not show everything: plugins/sdk has an example for each part.
package example

import "embed"

// Files are the examples, a folder each.
//
//go:embed channel module custom python
var Files embed.FS
