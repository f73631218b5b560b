package main

import (
	"strings"

	"github.com/karov-crm/karov/plugins/sdk"
)

// maxParties is how many recipients of one mail are kept.
const maxParties = 100

// parseAddresses reads the value of From, To or Cc as people's programs write it: names in quotes or not, encoded
// words, comments, groups, stray commas. What holds no @ is passed over. Handles are lower-case.
func parseAddresses(value string) []sdk.Party {
	var parties []sdk.Party
	for _, one := range splitAddresses(value) {
		if p, ok := parseAddress(one); ok && len(parties) < maxParties {
			parties = append(parties, p)
		}
	}
	return parties
}

// splitAddresses cuts at commas and semicolons outside quotes, comments and angle brackets, and drops the names of
// groups.
func splitAddresses(value string) []string {
	var list []string
	start, comment := 0, 0
	quoted, angle := false, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && (quoted || comment > 0):
			i++
		case c == '"' && comment == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			comment++
		case c == ')' && comment > 0:
			comment--
		case comment > 0:
		case c == '<':
			angle = true
		case c == '>':
			angle = false
		case angle:
		case c == ',' || c == ';':
			list = append(list, value[start:i])
			start = i + 1
		case c == ':':
			start = i + 1
		}
	}
	return append(list, value[start:])
}

// parseAddress reads one address: name <local@domain>, or local@domain (name).
func parseAddress(s string) (sdk.Party, bool) {
	name, address := "", s
	if open := strings.LastIndexByte(s, '<'); open >= 0 {
		name = s[:open]
		address, _, _ = strings.Cut(s[open+1:], ">")
	} else if before, comment, ok := strings.Cut(s, "("); ok {
		address = before
		name = strings.TrimSuffix(strings.TrimSpace(comment), ")")
	}
	if !strings.Contains(address, "@") {
		address = decodeWords(address) // some programs encode the address too
	}
	address = strings.ToLower(strings.Trim(oneLine(address), " \t\"'"))
	local, domain, ok := cutLast(address, "@")
	if !ok || local == "" || domain == "" || strings.ContainsAny(address, " \t<>,;") || len(address) > 254 {
		return sdk.Party{}, false
	}
	return sdk.Party{Handle: address, Name: displayName(name, address)}, true
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// displayName makes a name for people of what stands before the address; a name that only repeats the address is none.
func displayName(raw, address string) string {
	raw = strings.TrimSpace(raw)
	if len(raw) >= 2 && raw[0] == '"' && raw[len(raw)-1] == '"' {
		raw = strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(raw[1 : len(raw)-1])
	}
	name := strings.Join(strings.Fields(withoutDirections(oneLine(decodeWords(raw)))), " ")
	name = strings.Trim(name, `"' `)
	if strings.EqualFold(name, address) {
		return ""
	}
	return name
}

// withoutDirections takes out the signs that turn text around on the screen: in a name or a file name they serve to
// deceive.
func withoutDirections(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, s)
}
