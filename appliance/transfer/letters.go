package transfer

import "math"

// hebrewThousand is how often each letter, in the order of windows-1255 (final forms before their plain ones), stands
// in a thousand letters of running text. Names and addresses differ from it, but far less than the languages differ.
func hebrewThousand() [27]float64 {
	return [27]float64{60, 47, 13, 26, 90, 105, 13, 24, 12, 110, 8, 20, 66, 28, 45, 15, 30, 15, 32, 2, 18, 1, 12, 21, 56, 45, 52}
}

// russianThousand is the same for а to я, in the order of windows-1251.
func russianThousand() [32]float64 {
	return [32]float64{80, 16, 45, 17, 30, 85, 9, 16, 74, 12, 35, 44, 32, 67, 110, 28, 47, 55, 63, 26, 3, 10, 5, 14, 7, 4, 0.4, 19, 17, 3, 6, 20}
}

// letters tells windows-1255 from windows-1251: whose language makes the letters that these bytes would be likelier.
// Russian has capitals, where Hebrew has vowel points that hardly anyone types; Hebrew has final forms, which stand at
// the end of a word and nowhere else. Without any letter the region decides, since then it matters little.
func (c *census) letters(region string) string {
	he, ru := hebrewThousand(), russianThousand()
	const never, seldom = 0.02, 0.3 // in a thousand
	var score float64               // positive: Hebrew
	for b := 0xC0; b <= 0xFF; b++ {
		hebrew, russian := never, 0.0
		switch {
		case b >= 0xE0 && b <= 0xFA:
			hebrew = he[b-0xE0]
		case b <= 0xD3 || b == 0xFD || b == 0xFE: // points and direction marks
			hebrew = seldom
		}
		if b >= 0xE0 {
			russian = ru[b-0xE0]
		} else {
			russian = ru[b-0xC0] / 6
		}
		score += float64(c.counts[b]) * math.Log(hebrew/russian)
	}
	score += float64(c.inside)*math.Log(0.01) + float64(c.ending)*math.Log(4) + float64(c.small)*math.Log(1.5)
	switch {
	case score > 0:
		return Windows1255
	case score < 0, region == "RU":
		return Windows1251
	}
	return Windows1255
}

// finalLetter tells the five final forms of windows-1255.
func finalLetter(b byte) bool {
	return b == 0xEA || b == 0xED || b == 0xEF || b == 0xF3 || b == 0xF5
}
