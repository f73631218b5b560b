package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/schema"
)

// understander turns the cells of one row into a draft.
type understander struct {
	columns []Column
	region  string

	entity *schema.Entity // of records of any kind; nil for customers
	mapper *mapper
	zone   *time.Location
}

// understand turns a row into a draft, by what kind of file and of record it is.
func (u *understander) understand(r row) (d Draft, faults []fault.Field, blank bool) {
	switch {
	case r.object != nil:
		d, faults = u.object(r)
		return d, faults, false
	case u.entity != nil:
		return u.values(r)
	}
	return u.draft(r)
}

// gathered is the row on its way to a draft.
type gathered struct {
	draft               Draft
	first, middle, last string
	faults              []fault.Field
}

// draft understands one row. Faults are of the cells, or of the row where it has nothing to know a customer by; blank
// tells that no cell has anything.
func (u *understander) draft(r row) (d Draft, faults []fault.Field, blank bool) {
	var g gathered
	blank = true
	for i, c := range u.columns {
		text, key := clean(r.cells[i])
		if key == "" && text == "" {
			continue
		}
		blank = false
		switch {
		case c.Field == "" || c.Field == Ignore:
		case key != "":
			g.faults = append(g.faults, wrong(c.Field, key, c, r.cells[i]))
		default:
			u.fill(&g, c, text)
		}
	}
	if blank {
		return Draft{}, nil, true
	}
	g.name()
	d = g.draft
	if len(g.faults) == 0 && d.Name == "" && len(d.Phones) == 0 && len(d.Emails) == 0 {
		g.faults = append(g.faults, fault.Field{Name: Name, Key: "transfer.nobody"})
	}
	if len(g.faults) > 0 {
		for i := range g.faults {
			g.faults[i].Line = r.line
		}
		return Draft{}, g.faults, false
	}
	d.Key = d.key()
	return d, nil, false
}

// fill puts one cell where its column belongs.
func (u *understander) fill(g *gathered, c Column, text string) {
	d := &g.draft
	key := ""
	switch c.Field {
	case Name:
		d.Name = oneLine(text)
	case FirstName:
		g.first = oneLine(text)
	case MiddleName:
		g.middle = oneLine(text)
	case LastName:
		g.last = oneLine(text)
	case Company:
		d.Company = oneLine(text)
	case City:
		if d.City == "" {
			d.City = oneLine(text)
		} else if city := oneLine(text); city != d.City { // nothing is dropped
			d.Address = join(d.Address, city, ", ")
		}
	case Address:
		d.Address = join(d.Address, oneLine(text), ", ")
	case Note:
		d.Note = join(d.Note, text, "\n")
	case Birthday:
		d.Birthday, key = birthday(text)
	case Kind:
		d.Kind, key = kind(text)
	case Owner:
		d.OwnerEmail, key = email(text)
		if key != "" {
			key = "transfer.owner"
		}
	case ExternalID:
		d.ExternalID = oneLine(text)
	case Phone:
		u.phones(g, c, text)
	case Email:
		g.emails(c, text)
	}
	if key != "" {
		g.faults = append(g.faults, wrong(c.Field, key, c, text))
	}
}

// join adds a part unless it is there already.
func join(whole, part, between string) string {
	if whole == "" {
		return part
	}
	if slices.Contains(strings.Split(whole, between), part) {
		return whole
	}
	return whole + between + part
}

func (u *understander) phones(g *gathered, c Column, text string) {
	for _, typed := range splitPhones(text) {
		e164, key := phone(typed, u.region)
		if key != "" {
			g.faults = append(g.faults, wrong(Phone, key, c, typed))
			continue
		}
		if !slices.Contains(g.draft.PhonesE164, e164) {
			g.draft.Phones = append(g.draft.Phones, typed)
			g.draft.PhonesE164 = append(g.draft.PhonesE164, e164)
		}
	}
}

func (g *gathered) emails(c Column, text string) {
	for _, typed := range splitEmails(text) {
		address, key := email(typed)
		if key != "" {
			g.faults = append(g.faults, wrong(Email, key, c, typed))
			continue
		}
		same := func(have string) bool { return strings.EqualFold(have, address) }
		if !slices.ContainsFunc(g.draft.Emails, same) {
			g.draft.Emails = append(g.draft.Emails, address)
		}
	}
}

// name settles who it is. A first name wins over a full one, since both stand for the same; a full name beside a
// last name only is a first name ("שם" next to "שם משפחה"). A company with nobody's name is a company.
func (g *gathered) name() {
	d := &g.draft
	switch {
	case g.first != "":
		d.Name = oneLine(g.first + " " + g.middle + " " + g.last)
	case d.Name == "":
		d.Name = oneLine(g.middle + " " + g.last)
	case !strings.Contains(fold(d.Name), fold(g.last)):
		d.Name = oneLine(d.Name + " " + g.middle + " " + g.last)
	}
	if d.Name == "" && d.Company != "" {
		if d.Kind == "" {
			d.Kind = "company"
		}
		d.Name = d.Company
	}
	if d.Kind == "" {
		d.Kind = "person"
	}
}

// key is the row's identity: what the other system calls it; else how it is reached, with the name, so that a family
// behind one phone stays several people; else all that the row says.
func (d *Draft) key() string {
	var parts []string
	switch {
	case d.ExternalID != "":
		parts = []string{"id", strings.ToLower(d.ExternalID)}
	case len(d.PhonesE164)+len(d.Emails) > 0:
		reach := slices.Clone(d.PhonesE164)
		for _, e := range d.Emails {
			reach = append(reach, strings.ToLower(e))
		}
		slices.Sort(reach)
		parts = append([]string{"reach", foldName(d.Name)}, reach...)
	default:
		parts = []string{"row", d.Kind, d.Name, d.Company, d.City, d.Address, d.Note, d.Birthday, d.OwnerEmail}
	}
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return "import:" + hex.EncodeToString(h.Sum(nil)[:16])
}

// foldName folds a name as headers are folded, but keeps its digits: "Unit 7" is not "Unit 8".
func foldName(name string) string {
	var digits strings.Builder
	for _, r := range name {
		if r >= '0' && r <= '9' {
			digits.WriteRune(r)
		}
	}
	return fold(name) + digits.String()
}
