package main

import "golang.org/x/text/encoding/charmap"

func encode1255(s string) ([]byte, error) { return charmap.Windows1255.NewEncoder().Bytes([]byte(s)) }
