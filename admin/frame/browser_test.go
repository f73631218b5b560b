package frame_test

import (
	"testing"

	"github.com/karov-crm/karov/admin/frame/frametest"
)

func TestSignInInABrowser(t *testing.T) {
	f, _ := newFrame(t, nil)
	url := serve(t, f)
	b := frametest.Open(t)
	for _, scheme := range []string{"light", "dark"} {
		p := b.Page(1280, 800, scheme)
		p.Go(url + "/sign-in?lang=he")
		p.See("h1")
		p.Sound("sign-in " + scheme)
		p.Shot("sign-in-he-1280-" + scheme)
		p.Type("#email", "dana@office.example")
		p.Type("#password", "wrong\r")
		p.See("#problem")
		p.Sound("sign-in refused " + scheme)
		p.Shot("sign-in-refused-he-1280-" + scheme)
	}
	p := b.Page(360, 740, "light")
	p.Go(url + "/sign-in?lang=en")
	p.Sound("sign-in en")
	p.Shot("sign-in-en-360-light")
}
