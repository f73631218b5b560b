package search

const (
	// typoRunes is how many letters a word of the index has at least for one that is like it to be taken for it.
	typoRunes = 5
	// maxNear bounds the words of the index that are held against a mistyped one.
	maxNear = 1500
	// maxNearVariant bounds those that begin as one variant of it.
	maxNearVariant = 20
)

// mistyped adds the words of the index, in names and other fields, whose beginning is one typing error away from the
// term: a letter too many, too few, another, or two that changed places. The first two letters are right.
func (t *term) mistyped(r *reading) {
	letters := []rune(t.text)
	if len(letters) < typoRunes-1 {
		return
	}
	for _, class := range []byte{nameWord, textWord} {
		t.near(r, misspelt, append([]byte{class}, string(letters[:2])...), maxNear, letters)
	}
}

// misstarted is mistyped for an error in the first two letters: then the others are right.
func (t *term) misstarted(r *reading) {
	letters := []rune(t.text)
	if len(letters) < typoRunes-1 {
		return
	}
	for _, variant := range wrongStarts(letters) {
		for _, class := range []byte{nameWord, textWord} {
			t.near(r, misstarted, append([]byte{class}, variant...), maxNearVariant, letters)
		}
	}
}

// near adds the words of the index that begin so and are one error away.
func (t *term) near(r *reading, g grade, from []byte, most int, letters []rune) {
	var space [maxWord]rune
	r.eachThat(from, most, func(term []byte) bool {
		of := space[:0]
		for rest := term[1:]; len(rest) > 0 && len(of) < len(space); {
			letter, size := decodeRune(rest)
			of, rest = append(of, letter), rest[size:]
		}
		return len(of) >= typoRunes && begunWithError(letters, of)
	}, func(l listed) {
		word := string(l.term[1:])
		if known, ok := t.alike[word]; ok && known < g {
			return
		}
		if t.alike == nil {
			t.alike = map[string]grade{}
		}
		t.alike[word] = g
		t.ways[g] = append(t.ways[g], way{listed: l})
	})
}

// wrongStarts are the words that a mistyped one may have been meant for when the error is in its first two letters.
func wrongStarts(q []rune) (variants []string) {
	with := func(parts ...[]rune) {
		var all []rune
		for _, p := range parts {
			all = append(all, p...)
		}
		variants = append(variants, string(all))
	}
	for i := range 2 {
		with(q[:i], q[i+1:])
		with(q[:i], q[i+1:i+2], q[i:i+1], q[i+2:])
		for _, r := range lettersOf(q[i]) {
			with(q[:i], []rune{r}, q[i+1:])
			with(q[:i], []rune{r}, q[i:])
		}
	}
	return variants
}

// lettersOf are the letters of the alphabet of a letter, folded.
func lettersOf(r rune) []rune {
	switch alphabet(string(r)) {
	case 'א':
		return []rune("אבגדהוזחטיכלמנסעפצקרשת")
	case 'а':
		return []rune("абвгдежзиклмнопрстуфхцчшщъыьэюя")
	case 'a':
		return []rune("abcdefghijklmnopqrstuvwxyz")
	}
	return nil
}

// begunWithError tells whether a word begins as q does but for one error.
func begunWithError(q, word []rune) bool {
	at := 0
	for at < len(q) && at < len(word) && q[at] == word[at] {
		at++
	}
	if at == len(q) {
		return false // no error
	}
	rest, other := q[at:], word[at:]
	return begins(other, rest[1:]) || // one too many
		len(other) > 0 && (begins(other[1:], rest[1:]) || begins(other[1:], rest)) || // another, one too few
		len(rest) > 1 && len(other) > 1 && rest[0] == other[1] && rest[1] == other[0] && begins(other[2:], rest[2:])
}

func begins(word, with []rune) bool {
	if len(with) > len(word) {
		return false
	}
	for i, r := range with {
		if word[i] != r {
			return false
		}
	}
	return true
}
