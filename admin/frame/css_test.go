package frame_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// One sheet serves both directions, so nothing in it may name a side of the screen.
func TestStyleSheetHasNoSides(t *testing.T) {
	raw, err := os.ReadFile("assets/karov.css")
	if err != nil {
		t.Fatal(err)
	}
	sides := regexp.MustCompile(`(?i)\b(left|right)\b|(?:^|[\s;{])(?:width|height|top|bottom)\s*:|(margin|padding|border|inset)-(top|bottom)\b`)
	for number, line := range strings.Split(string(raw), "\n") {
		line = regexp.MustCompile(`env\([^)]*\)`).ReplaceAllString(line, "") // the phone's own names
		if sides.MatchString(line) {
			t.Errorf("line %d names a side or a physical size: %s", number+1, line)
		}
	}
	if regexp.MustCompile(`https?://|@import|data:`).Match(raw) {
		t.Error("the sheet asks for something that is not ours")
	}
}

// Every icon that a page uses is in the sprite, and the sprite holds no other.
func TestSpriteHoldsWhatIsUsed(t *testing.T) {
	raw, err := os.ReadFile("assets/icons.svg")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, m := range regexp.MustCompile(`symbol id="([^"]+)"`).FindAllStringSubmatch(string(raw), -1) {
		have[m[1]] = false
	}
	for path, text := range sources(t, "..") {
		for _, m := range regexp.MustCompile(`(?:Icon\(v, |Icon: +|icon\(|empty\(v, )"([a-z0-9-]+)"`).FindAllStringSubmatch(text, -1) {
			if _, ok := have[m[1]]; !ok {
				t.Errorf("%s uses the icon %q, which is not in the sprite", path, m[1])
			}
			have[m[1]] = true
		}
	}
	for name, used := range have {
		if !used {
			t.Errorf("the icon %q is used nowhere", name)
		}
	}
}
