package search

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A sound is the skeleton of a word as Hebrew, Russian and Latin writing have it in common: the consonants, in classes
// wide enough for what one alphabet cannot tell apart (b and v in ב, p and f in פ, s and sh in ש, k and kh in כ), and
// an A for a vowel that begins the word. כהן, Cohen, Kohen and Коэн have the sound KHN or KN. Where letters can be read
// in several ways, a word has several sounds; two words sound alike when they have one in common.

// maxSounds bounds the sounds of one word.
const maxSounds = 8

// soundLetters are the readings of letters, parted by |. V is a vowel: A at the beginning of a word, silent within. Y is
// a vowel, or the sound of John at the beginning; W is Hebrew vav; H is an h, and Q the letter he: silent at the end.
// The longest run of letters that stands here is read first.
var soundLetters = map[string]string{
	"a": "V", "e": "V", "i": "V", "o": "V", "u": "V", "y": "V", "j": "Y", "ø": "V", "æ": "V", "œ": "V", "ı": "V",
	"b": "B", "v": "B", "w": "B", "c": "K", "ce": "S|K", "ci": "S|K", "cy": "S|K", "ch": "K|C", "ck": "K", "cz": "C",
	"d": "D", "đ": "D", "ð": "D", "dj": "J", "dzh": "J", "f": "P", "ff": "P|B", "g": "G", "ge": "G|J", "gi": "G|J", "gy": "G|J", "gh": "G|",
	"h": "H", "k": "K", "kh": "K", "l": "L", "ł": "L", "m": "M", "n": "N", "p": "P", "ph": "P", "q": "K", "qu": "K",
	"r": "R", "s": "S", "ß": "S", "sh": "S", "sch": "S", "shch": "S", "t": "T", "th": "T", "þ": "T", "ts": "C", "tz": "C", "tch": "C", "tsch": "C",
	"x": "KS", "z": "Z|C", "zh": "Z",

	"а": "V", "е": "V", "и": "V", "о": "V", "у": "V", "ы": "V", "э": "V", "ю": "V", "я": "V", "і": "V", "є": "V", "ъ": "", "ь": "",
	"оэ": "V|VH", "аэ": "V|VH", "иэ": "V|VH", "еэ": "V|VH", "уэ": "V|VH",
	"б": "B", "в": "B", "г": "G|H", "ґ": "G", "д": "D", "дж": "J", "ж": "Z", "з": "Z", "к": "K", "л": "L", "м": "M",
	"н": "N", "п": "P", "р": "R", "с": "S", "т": "T", "тс": "C", "тц": "C", "ф": "P", "х": "K", "ц": "C", "ч": "C", "ш": "S", "щ": "S",

	"א": "V", "ב": "B", "ג": "G|J", "ד": "D", "ה": "Q", "ו": "W", "וו": "B", "ז": "Z", "ח": "K", "ט": "T", "טש": "C|TS", "י": "V",
	"כ": "K", "ל": "L", "מ": "M", "נ": "N", "ס": "S", "ע": "V", "פ": "P", "צ": "C", "ק": "K", "ר": "R", "ש": "S", "ת": "T",
}

// longestSound is the longest key of soundLetters, in letters.
const longestSound = 4

// soundsOf gives the sounds of a folded word, none for a word without letters of the three alphabets.
func soundsOf(word string) []string { return soundsIn(word, true) }

// soundsIn gives the sounds of a word, or of the beginning of one, whose last letter is not yet the last.
func soundsIn(word string, whole bool) []string {
	sounds, heard := []string{""}, false
	letters := []rune(word)
	for at := 0; at < len(letters); {
		n, readings := read(letters[at:])
		if n == 0 {
			at++
			continue
		}
		last := at+n == len(letters)
		sounds = widen(sounds, spoken(readings, at == 0, last && whole))
		heard = true
		// A letter that is doubled, where vowels are written, is one sound.
		for at += n; at < len(letters) && n == 1 && letters[at] == letters[at-1] && !isHebrew(letters[at]); at++ {
		}
	}
	if !heard {
		return nil
	}
	sounds = slices.DeleteFunc(sounds, func(s string) bool { return s == "" })
	slices.Sort(sounds)
	return slices.Compact(sounds)
}

func isHebrew(r rune) bool { return r >= 'א' && r <= 'ת' }

// read finds the longest run of letters, at the beginning, that has a reading. A vowel that softens the letter before
// it is read with it.
func read(letters []rune) (n int, readings string) {
	for n := min(len(letters), longestSound); n > 0; n-- {
		if readings, ok := soundLetters[string(letters[:n])]; ok {
			return n, readings
		}
	}
	return 0, ""
}

// spoken is what readings are at a place of the word.
func spoken(readings string, first, last bool) []string {
	var all []string
	for one := range strings.SplitSeq(readings, "|") {
		switch {
		case one == "V" && first:
			all = append(all, "A")
		case one == "V":
			all = append(all, "")
		case one == "VH" && first:
			all = append(all, "AH")
		case one == "VH":
			all = append(all, "H")
		case one == "Y" && first:
			all = append(all, "A", "J")
		case one == "Y":
			all = append(all, "", "J")
		case one == "W" && first:
			all = append(all, "B")
		case one == "W" && last:
			all = append(all, "")
		case one == "W":
			all = append(all, "", "B")
		case one == "H" && first:
			all = append(all, "A", "K")
		case one == "Q" && first:
			all = append(all, "A")
		case (one == "H" || one == "Q") && last:
			all = append(all, "")
		case one == "H":
			all = append(all, "H", "", "K")
		case one == "Q":
			all = append(all, "H", "")
		default:
			all = append(all, one)
		}
	}
	return all
}

// widen continues each of the sounds in each of the ways, as far as there is room.
func widen(sounds, ways []string) []string {
	if len(ways) == 1 {
		for i := range sounds {
			sounds[i] += ways[0]
		}
		return sounds
	}
	wider := make([]string, 0, len(sounds)*len(ways))
	for _, way := range ways {
		for _, s := range sounds {
			wider = append(wider, s+way)
		}
	}
	return wider[:min(len(wider), maxSounds)]
}

// alphabet is which of the three a word is written in: its first letter tells.
func alphabet(word string) rune {
	r, _ := utf8.DecodeRuneInString(word)
	switch {
	case isHebrew(r):
		return 'א'
	case r >= 'а' && r <= 'ӿ':
		return 'а'
	case r >= 'a' && r <= 'ɏ':
		return 'a'
	}
	return 0
}
