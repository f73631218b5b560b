package transfer

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
)

// TestLettersTellTheLanguage knows single words from each other, in lower case too.
func TestLettersTellTheLanguage(t *testing.T) {
	hebrew := "כהן לוי מזרחי פרץ ביטון אברהם יוסף שרה רבקה נועם טלפון כתובת הערות משפחה חיפה ירושלים באר-שבע אילת ליאור גיא"
	russian := "Иванов Петров Анна Фамилия примечание Москва казань ЭЛИСТА щукин Юлия олег Имя город Мария иван елена тула омск шкаф"
	for want, words := range map[string]string{Windows1255: hebrew, Windows1251: russian} {
		cp := charmap.Windows1255
		if want == Windows1251 {
			cp = charmap.Windows1251
		}
		for _, w := range strings.Fields(words) {
			b, err := cp.NewEncoder().String("Name,Phone\n" + w + ",0502345678\n")
			if err != nil {
				t.Fatal(err)
			}
			var c census
			if err := c.take(strings.NewReader(b)); err != nil {
				t.Fatal(err)
			}
			if got, _, err := c.know(Options{}); got != want || err != nil {
				t.Errorf("%s: %s %v, want %s", w, got, err, want)
			}
		}
	}
}

// TestUTF8AcrossPieces counts letters that lie across the border of two reads, and takes a file with one broken byte
// as UTF-8 with one broken row.
func TestUTF8AcrossPieces(t *testing.T) {
	for shift := range 3 {
		text := "Name,Note" + strings.Repeat("s", shift) + "\n" + strings.Repeat("שלום,הערה\n", 8000)
		res := mustImport(t, text, Options{DryRun: true}, nil)
		if res.Encoding != UTF8 || res.Rows != 8000 || res.Rejected != 0 {
			t.Errorf("shift %d: %s, %d rows, %d rejected", shift, res.Encoding, res.Rows, res.Rejected)
		}
	}
	res := mustImport(t, "שם,טלפון\nדנה כהן,0502345678\nמשה\xe9,0502345679\nנועה לוי ובניה,0502345670\n", Options{DryRun: true}, nil)
	wantKeys(t, res, "3 name transfer.letters")
	if res.Encoding != UTF8 {
		t.Errorf("encoding %s", res.Encoding)
	}
}

func TestEncodingByHand(t *testing.T) {
	var book ledger
	mustImport(t, "Name\nSm\xeeth\n", Options{Encoding: Windows1251}, &book)
	if book.contacts[0].Name != "Smоth" { // a Cyrillic о
		t.Errorf("%q", book.contacts[0].Name)
	}
	if _, err := Import(t.Context(), strings.NewReader("Name\nx\n"), Options{Encoding: "latin-1"}, &book); err == nil {
		t.Error("an unknown encoding was taken")
	}
}

func TestSeparatorOf(t *testing.T) {
	m := newMapper(nil)
	for sample, want := range map[string]string{
		"name,phone\na,b\n": ",", "name;phone\na;b\n": ";", "name\tphone\na\tb\n": "\t",
		"שם;הערות;טלפון\nא;ב,ג,ד,ה;ו\n":      ";",
		"\"name,full\";phone\n\"a,b,c\";d\n": ";",
		"phone\n050\n":                       ",", "": ",", "\"": ",",
		"foo;bar;baz\n1;2,5;3\n4;5,5;6\n": ";",
		"SEP=|\nname|phone\n":             "|", "\"sep=;\"\nname;phone\n": ";", "sep=a\nname,phone\n": ",",
	} {
		if got, _ := separatorOf(sample, m); string(rune(got)) != want {
			t.Errorf("%q: %q, want %q", sample, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	m := newMapper(nil)
	for header, want := range map[string]string{
		"E-mail 2 Address": Email, "PHONE 3 - VALUE": Phone, "טֶלֶפוֹן נַיָּיד": Phone, " тел.(моб.) 2: ": Phone, "ТЕЛЕФОН": Phone,
		"דוא״ל": Email, "דוא\"ל": Email, "דוא''ל": Email, "Эл. почта": Email, "населённый пункт": City, "Населенный пункт": City,
		"\u200fשם משפחה": LastName, "Given Name": FirstName, "ФИО": Name, "Ф.И.О.": Name, "ת. לידה": Birthday, "Date of birth": Birthday,
		"ID": ExternalID, "מס' לקוח": ExternalID, "Account Manager": Owner, "Ответственный": Owner, "Тип клиента": Kind, "פקס": Phone,
		"Organization 1 - Name": Company, "Assistant's Phone": "", "Shoe size": "", "": "", "123": "", "טלפון של העוזרת": "",
	} {
		if got := m.field(header); got != want {
			t.Errorf("%q -> %q, want %q", header, got, want)
		}
	}
}

// TestSynonymsAgree finds a name that two fields claim: the first would win silently.
func TestSynonymsAgree(t *testing.T) {
	for name, field := range synonyms() {
		if name == "" || field == "" {
			t.Errorf("%q -> %q", name, field)
		}
		if !slices.Contains(Fields(), field) {
			t.Errorf("%q -> unknown field %q", name, field)
		}
	}
}

func TestPhones(t *testing.T) {
	for _, c := range []struct{ region, cell, typed, e164 string }{
		{"IL", "050-2345678", "050-2345678", "+972502345678"},
		{"IL", "03/523-4567", "03/523-4567", "+97235234567"},
		{"IL", "050-2345678 / 03-5234567", "050-2345678|03-5234567", "+972502345678|+97235234567"},
		{"IL", "0502345678,0522345678;\n0532345678", "0502345678|0522345678|0532345678", "+972502345678|+972522345678|+972532345678"},
		{"IL", "972502345678", "972502345678", "+972502345678"},
		{"IL", "00972-50-2345678", "00972-50-2345678", "+972502345678"},
		{"IL", "79162345678", "79162345678", "+79162345678"},
		{"IL", "050-2345678, 050 234 5678", "050-2345678", "+972502345678"},
		{"IL", "03-5234567 ext. 12", "03-5234567 ext. 12", "+97235234567"},
		{"IL", "05023456789", "", ""},
		{"IL", "call Dana", "", ""},
		{"RU", "8 (916) 234-56-78", "8 (916) 234-56-78", "+79162345678"},
		{"RU", "972502345678", "972502345678", "+972502345678"},
		{"RU", "9162345678", "9162345678", "+79162345678"},
	} {
		u := understander{region: c.region}
		var g gathered
		u.phones(&g, Column{Header: "Phone"}, c.cell)
		if strings.Join(g.draft.Phones, "|") != c.typed || strings.Join(g.draft.PhonesE164, "|") != c.e164 || (c.e164 == "") != (len(g.faults) > 0) {
			t.Errorf("%s %q: %q %q %v", c.region, c.cell, g.draft.Phones, g.draft.PhonesE164, g.faults)
		}
	}
	for s, want := range map[string]bool{"9.72501E+11": true, "9,72501e+11": true, "9E+11": true, "0501234567": false, "E11": false, "5e": false, "house 5e3": false} {
		if scientific(s) != want {
			t.Errorf("scientific(%q) = %t", s, !want)
		}
	}
}

func TestEmails(t *testing.T) {
	for typed, want := range map[string]string{
		"dana@cohen.test": "dana@cohen.test", "Dana <dana@cohen.test>": "dana@cohen.test", "mailto:d.c+x@a.b.test": "d.c+x@a.b.test",
		"דנה@דוגמה.קום": "דנה@דוגמה.קום", "a@b": "", "@b.test": "", "a@@b.test": "", "a b@c.test": "", "a@-b.test": "", ".a@b.test": "",
		"a@b..test": "", "a@b.t": "", "<script>@b.test": "", strings.Repeat("a", 65) + "@b.test": "", "a\r\nBcc: x@b.test": "",
	} {
		if got, key := email(typed); got != want || (key == "") != (want != "") {
			t.Errorf("%q: %q %q", typed, got, key)
		}
	}
}

func TestBirthdayAndKind(t *testing.T) {
	for text, want := range map[string]string{
		"12/05/1980": "1980-05-12", "1.2.1975": "1975-02-01", "1980-05-12": "1980-05-12", "12.05.1980 0:00": "1980-05-12",
		"1980-05-12T00:00:00Z": "1980-05-12", "0/0/00": "", "00.00.0000": "", "29/02/2024": "2024-02-29",
		"29/02/2023": "!", "03/25/1980": "!", "12.05.80": "!", "29353": "!", "yesterday": "!", "1980-05-12 10:30": "!",
	} {
		got, key := birthday(text)
		if key != "" {
			got = "!"
		}
		if got != want {
			t.Errorf("birthday %q: %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{"Company": "company", "חברה בע\"מ": "company", "Физ. лицо": "person", "частный": "person", "פרטי": "person", "VIP": ""} {
		if got, _ := kind(text); got != want {
			t.Errorf("kind %q: %q, want %q", text, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range [][3]string{
		{"First Name,Middle Name,Last Name", "Dana,R.,Levi", "person Dana R. Levi"},
		{"שם,שם משפחה", "דנה,לוי", "person דנה לוי"},
		{"Name,Last name", "Dana Levi,Levi", "person Dana Levi"},
		{"Name,First name,Last name", "Levi; Dana,Dana,Levi", "person Dana Levi"},
		{"Company,Name", "Acme,", "company Acme"},
		{"Company,Name", "Acme,Dana", "person Dana"},
		{"Kind,Name", "חברה,Acme", "company Acme"},
		{"Phone,Name", "0502345678,", "person "},
	} {
		var book ledger
		mustImport(t, c[0]+"\n"+c[1]+"\n", Options{}, &book)
		if got := book.contacts[0].Kind + " " + book.contacts[0].Name; got != c[2] {
			t.Errorf("%s | %s: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// TestKeys says which rows are the same customer.
func TestKeys(t *testing.T) {
	base := Draft{Kind: "person", Name: "Dana Levi", PhonesE164: []string{"+1", "+2"}, Emails: []string{"a@b.test"}}
	same := Draft{Kind: "company", Name: "DANA  LEVI", City: "Haifa", PhonesE164: []string{"+2", "+1"}, Emails: []string{"A@B.test"}}
	if base.key() != same.key() {
		t.Error("the same phones, addresses and name are two")
	}
	other := base
	other.Name = "Tom Levi"
	if base.key() == other.key() {
		t.Error("two people behind one phone are one")
	}
	external := Draft{ExternalID: "A7", Name: "x"}
	if external.key() != (&Draft{ExternalID: "a7", Name: "y", Emails: []string{"c@d.test"}}).key() {
		t.Error("the same external id is two")
	}
	if (&Draft{Name: "Dana", City: "Haifa"}).key() == (&Draft{Name: "Dana", City: "Akko"}).key() {
		t.Error("two rows with no phone are one")
	}
	if !strings.HasPrefix(base.key(), "import:") || len(base.key()) != len("import:")+32 {
		t.Error(base.key())
	}
}

// TestBrokenRowTakesNoOther puts a broken row anywhere into good ones and wants every good one back.
func TestBrokenRowTakesNoOther(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	cells := []string{"a", "", "b c", "x,y", "say \"hi\"", "two\nlines", "\"", "חברה בע\"מ", "end\n", "a\",\"b"}
	broken := []string{"\"open,b,c", "x,\"open\"z,c", "a,b", "a,b,c,d", "\"", "a,\"\"\"b,c", "\"a\",\"b\"c\",\"d", "only"}
	for round := range 3000 {
		var want [][]string
		var text bytes.Buffer
		w := csv.NewWriter(&text)
		at, which := rnd.IntN(6), broken[rnd.IntN(len(broken))]
		for i := range 6 {
			if i == at {
				w.Flush()
				text.WriteString(which + "\n")
			}
			r := []string{fmt.Sprintf("%d", i), cells[rnd.IntN(len(cells))], cells[rnd.IntN(len(cells))]}
			want = append(want, r)
			if err := w.Write(r); err != nil {
				t.Fatal(err)
			}
		}
		w.Flush()
		rows := &records{in: newLines(bytes.NewReader(text.Bytes())), separator: ',', columns: 3}
		var got [][]string
		bad := 0
		for {
			r, err := rows.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.wrong.Key == "" {
				got = append(got, r.cells)
			} else if bad++; r.line == 0 {
				t.Fatal("a reject without a line")
			}
		}
		if bad != 1 || !slices.EqualFunc(got, want, slices.Equal) {
			t.Fatalf("round %d: broken %q at %d, %d rejected\n%s\ngot  %q\nwant %q", round, which, at, bad, text.String(), got, want)
		}
	}
}

func TestGuard(t *testing.T) {
	for plain, guarded := range map[string]string{
		"=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0", "+972502345678": "'+972502345678", "-5": "'-5", "@x": "'@x", "0501": "'0501",
		"'=x": "''=x", "'tis": "'tis", "Dana": "Dana", "0": "0", "12": "12", "123456789012": "'123456789012", "": "",
	} {
		if got := guard(plain); got != guarded || unguard(got) != plain {
			t.Errorf("guard(%q) = %q, back %q", plain, got, unguard(got))
		}
	}
}
