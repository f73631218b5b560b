package frame

import (
	"hash/fnv"
	"strconv"
	"strings"
	"unicode"

	"github.com/karov-crm/karov/admin/frame/locale"
)

func languageList() []locale.Language { return locale.Languages() }

func pressed(on bool) string { return strconv.FormatBool(on) }

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// Initials gives the first letters of the first and the last word of a name.
func Initials(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\'' && r != '"' })
	switch len(words) {
	case 0:
		return "?"
	case 1:
		return first(words[0])
	}
	return first(words[0]) + first(words[len(words)-1])
}

func first(word string) string {
	for _, r := range word {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return ""
}

// tint picks one of the palette's avatar colours, the same for a name each time.
func tint(name string) string {
	h := fnv.New32a()
	h.Write([]byte(name))
	return "tint-" + strconv.Itoa(int(h.Sum32()%6)+1)
}
