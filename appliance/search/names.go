package search

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed names.txt
var namesText string

// names is the table of given names that are one name, however they are spelled.
type names struct {
	spellings []spelling // sorted by word
	groups    [][]string
}

type spelling struct {
	word  string
	group int
}

func readNames() *names {
	n := &names{}
	for line := range strings.Lines(namesText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		group := strings.Fields(Fold(line))
		slices.Sort(group)
		for _, word := range slices.Compact(group) {
			n.spellings = append(n.spellings, spelling{word, len(n.groups)})
		}
		n.groups = append(n.groups, group)
	}
	slices.SortFunc(n.spellings, func(a, b spelling) int { return strings.Compare(a.word, b.word) })
	return n
}

// like gives the spellings of the names that a word is, or, where it is none, begins.
func (n *names) like(word string) (others []string) {
	at, whole := slices.BinarySearchFunc(n.spellings, word, func(s spelling, word string) int { return strings.Compare(s.word, word) })
	for ; at < len(n.spellings) && strings.HasPrefix(n.spellings[at].word, word); at++ {
		if whole && n.spellings[at].word != word {
			break
		}
		others = append(others, n.groups[n.spellings[at].group]...)
	}
	slices.Sort(others)
	return slices.Compact(others)
}
