package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/karov-crm/karov/plugins/sdk"
	"golang.org/x/text/encoding/charmap"
)

const (
	maxLine    = 64 << 10
	maxColumns = 100
)

// fleet reads what a fleet program exports: a line for each lorry, values between semicolons, the first line saying what
// they are; in UTF-8, or in the Hebrew of older Windows. What cannot be read is a row that says so.
func fleet(_ context.Context, _ string, file io.Reader, row func(sdk.Row) error) error {
	in := bufio.NewScanner(file)
	in.Buffer(nil, maxLine)
	var columns []string
	for n := 1; in.Scan(); n++ {
		line := bytes.TrimSpace(in.Bytes())
		if n == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if len(line) == 0 {
			continue
		}
		cells, err := split(line)
		if columns == nil {
			if err != nil || len(cells) < 2 || len(cells) > maxColumns {
				return sdk.Permanent("fieldservice.no-header", err)
			}
			columns = fieldNames(cells)
			continue
		}
		if err := row(rowOf(n, columns, cells, err)); err != nil {
			return err
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return sdk.Permanent("fieldservice.line-too-long", in.Err())
	}
	return in.Err()
}

// split reads one line. Each line says for itself in which of the two ways it is written: Hebrew of older Windows is
// never UTF-8 by chance.
func split(line []byte) ([]string, error) {
	if !utf8.Valid(line) {
		decoded, err := charmap.Windows1255.NewDecoder().Bytes(line)
		if err != nil {
			return nil, fmt.Errorf("read a line as windows-1255: %w", err)
		}
		line = decoded
	}
	r := csv.NewReader(bytes.NewReader(line))
	r.Comma, r.LazyQuotes = ';', true
	cells, err := r.Read()
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells, err
}

func rowOf(n int, columns, cells []string, err error) sdk.Row {
	switch {
	case err != nil || len(cells) > len(columns):
		return sdk.Row{Line: n, Problem: sdk.Say("fieldservice.line-unread")}
	case cells[0] == "" && strings.Join(cells, "") == "":
		return sdk.Row{Line: n, Problem: sdk.Say("fieldservice.line-empty")}
	}
	r := sdk.Row{Line: n, Values: map[string]string{}}
	for i, cell := range cells {
		if columns[i] != "" && cell != "" {
			r.Values[columns[i]] = cell
		}
	}
	return r
}

// fieldNames calls the columns that are known as the fields they fill; others keep their name, for people to map.
func fieldNames(header []string) []string {
	names := make([]string, len(header))
	for i, name := range header {
		names[i] = name
		if field := knownColumn(strings.ToLower(name)); field != "" {
			names[i] = field
		}
	}
	return names
}

func knownColumn(name string) string {
	switch strings.NewReplacer("״", `"`, "׳", "'").Replace(name) {
	case "plate", "מספר רכב", "מס' רכב", "מספר רישוי", "מס' רישוי", "לוחית רישוי", "номер", "госномер":
		return "plate"
	case "make", "maker", "יצרן", "תוצר", "марка":
		return "maker"
	case "model", "דגם", "модель":
		return "model"
	case "year", "שנה", "שנת ייצור", "год", "год выпуска":
		return "year"
	case "customer", "לקוח", "клиент":
		return "customer"
	case "note", "הערה", "הערות", "примечание":
		return "note"
	}
	return ""
}
