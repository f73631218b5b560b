package sdk

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/karov-crm/karov/plugins/wire"
	wirev1 "github.com/karov-crm/karov/plugins/wire/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

var update = flag.Bool("update", false, "write what views look like on the line to testdata")

// everyBlock is a view with each block and each way to fill it.
func everyBlock() View {
	at, order := time.Date(2026, 11, 22, 5, 0, 0, 0, time.UTC), Ref{"fieldservice.order", "7"}
	return View{
		Title: Say("fs.assets", "count", 2),
		Blocks: []Block{
			Heading(Plain("דנה")), Text(Say("fs.none")), Paragraph{Words: Plain("late"), Tone: Bad},
			Figures{{Label: Say("fs.due"), Value: Money{1250, "ILS"}, Tone: Warn, Note: Plain("x")}, {Label: Plain("n"), Value: 3}},
			Table{
				Columns: []Column{{Label: Say("fs.plate")}, {Label: Say("fs.price"), Numbers: true}},
				Rows: []TableRow{
					{Cells: []any{"12-345-67", Toned(Good, Money{5, "ILS"})}, Open: order},
					{Cells: []any{Say("fs.unknown"), nil}}, {Cells: []any{Words{}, Toned(Quiet, Plain("?"))}},
				},
				Empty: Say("fs.nothing"),
			},
			Form{Action: "plan", Submit: Say("fs.plan"), Inputs: []Input{
				{Name: "day", Label: Say("fs.day"), Kind: Day, Required: true, Value: Date{2026, 11, 23}, Help: Plain("h")},
				{Name: "who", Kind: OneOf, Choices: []Choice{{"a", Plain("A")}}}, {Name: "asset", Kind: OneRecord, Entity: "fieldservice.asset"},
				{Name: "a"}, {Name: "b", Kind: LongText}, {Name: "c", Kind: Numeric}, {Name: "d", Kind: YesNo, Value: true}, {Name: "e", Kind: HiddenText, Value: "x"},
			}},
			Timeline{{At: at, Words: Say("fs.visited"), Open: order, Tone: Good}},
			Chart{Title: Plain("t"), Lines: true, Labels: []string{"a", "b"}, Series: []Series{{Label: Plain("s"), Values: []float64{1, 2.5}}}},
			Buttons{
				{Label: Say("fs.finish"), Action: "finish", Input: Values{"n": 1}, Records: []Ref{order}, Tone: Good},
				{Label: Say("fs.more"), View: "today", Params: map[string]string{"day": "1"}},
			},
			Tabs{Param: "tab", Tabs: []Tab{{Name: "a", Label: Plain("A"), Blocks: []Block{Text(Plain("in a"))}}, {Name: "b"}}},
		},
	}
}

func TestEveryBlockCrossesTheLine(t *testing.T) {
	k := newKarov(t, Plugin{Views: map[string]ViewFunc{"all": func(_ context.Context, _ Host, l Look) (View, error) {
		if l.View != "all" || l.Record != (Ref{"contact", "7"}) || l.Actor.Language != "he" || l.Params["tab"] != "a" {
			return View{}, fmt.Errorf("it is asked for %+v", l)
		}
		return everyBlock(), nil
	}}})
	got, err := wirev1.NewViewsClient(k.plugin).Render(t.Context(), &wirev1.RenderRequest{
		View: "all", Record: &wirev1.RecordRef{Entity: "contact", Id: "7"}, Actor: &wirev1.Actor{Language: "he"}, Params: map[string]string{"tab": "a"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/blocks.txtpb"
	if *update {
		if err := os.WriteFile(file, []byte(prototext.Format(got)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want wirev1.RenderResponse
	if err := prototext.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, &want) {
		t.Errorf("it is\n%s", prototext.Format(got))
	}
}

func TestAViewThatCannotBeDrawnSaysWhere(t *testing.T) {
	tabs := Tabs{Tabs: []Tab{{Blocks: []Block{Tabs{}}}}}
	for want, block := range map[string]Block{
		"block 0 is nil":                              nil,
		"row 1, cell 0: a chan int is nothing":        Table{Rows: []TableRow{{}, {Cells: []any{make(chan int)}}}},
		"figure 0: a func()":                          Figures{{Value: func() {}}},
		"input x: there is no kind 99":                Form{Inputs: []Input{{Name: "x", Kind: 99}}},
		"input y: a struct {}":                        Form{Inputs: []Input{{Name: "y", Value: struct{}{}}}},
		"1 values for 2 labels":                       Chart{Labels: []string{"a", "b"}, Series: []Series{{Values: []float64{1}}}},
		"button 0 has to name an action or a view":    Buttons{{}},
		"button 0: value of x: a map[string]int":      Buttons{{Action: "a", Input: Values{"x": map[string]int{}}}},
		"no tabs within tabs":                         tabs,
		"tab t: block 0, sdk.Figures: figure 0: a []": Tabs{Tabs: []Tab{{Name: "t", Blocks: []Block{Figures{{Value: []byte{}}}}}}},
	} {
		k := &server{plugin: Plugin{Views: map[string]ViewFunc{"v": func(context.Context, Host, Look) (View, error) {
			return View{Blocks: []Block{block}}, nil
		}}}}
		_, err := views{server: k}.Render(t.Context(), &wirev1.RenderRequest{View: "v"})
		if f := wire.FaultOf(err); f.GetKind() != wirev1.Kind_KIND_INTERNAL || !strings.Contains(f.GetDetail(), want) {
			t.Errorf("%s: %v", want, f)
		}
	}
}
