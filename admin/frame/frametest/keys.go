package frametest

import (
	"context"
	"fmt"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Key is one key of a board: what it types in the layout that is on, and where it lies.
type Key struct {
	Key, Code string
	Ctrl      bool
}

// Type puts the focus on an element and types.
func (p *Page) Type(selector, text string) {
	p.t.Helper()
	p.Until(visible(selector))
	p.Value(fmt.Sprintf(`document.querySelector(%q).focus()`, selector))
	p.Press(text)
}

// Press types wherever the focus is, a key for each letter. A letter is typed as the result of its key, so that a page
// which takes the key takes the letter too, as in a person's hands.
func (p *Page) Press(text string) {
	p.t.Helper()
	for _, r := range text {
		var down input.DispatchKeyEventParams
		for _, event := range kb.Encode(r) {
			if event.Type != kb.KeyUp {
				down.Text, down.UnmodifiedText = event.Text, event.UnmodifiedText
			}
			if event.Type == kb.KeyDown {
				down.Key, down.Code, down.Modifiers = event.Key, event.Code, event.Modifiers
				down.WindowsVirtualKeyCode, down.NativeVirtualKeyCode = event.WindowsVirtualKeyCode, event.NativeVirtualKeyCode
			}
		}
		if down.Key == "Unidentified" {
			down.Key = string(r)
		}
		p.stroke(down)
	}
}

// Strike strikes keys as a keyboard in some layout gives them.
func (p *Page) Strike(keys ...Key) {
	p.t.Helper()
	for _, k := range keys {
		down := input.DispatchKeyEventParams{Key: k.Key, Code: k.Code}
		if k.Ctrl {
			down.Modifiers = int64(kb.ModifierCtrl)
		} else if len([]rune(k.Key)) == 1 {
			down.Text = k.Key
		}
		p.stroke(down)
	}
}

func (p *Page) stroke(down input.DispatchKeyEventParams) {
	p.t.Helper()
	up := down
	down.Type, up.Type, up.Text, up.UnmodifiedText = "keyDown", "keyUp", "", ""
	if down.Text == "" {
		down.Type = "rawKeyDown"
	}
	p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, down); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, up)
		return err
	}))
}
