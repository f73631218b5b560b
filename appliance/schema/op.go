package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/karov-crm/karov/appliance/fault"
)

// OpKind says what an Op does.
type OpKind string

const (
	AddEntity    OpKind = "add-entity" // Entity, Labels, Plurals, Title, Owner, Via, Contact, Timeline, Fields
	RenameEntity OpKind = "rename-entity"
	HideEntity   OpKind = "hide-entity"
	ShowEntity   OpKind = "show-entity"
	AddField     OpKind = "add-field" // Entity, Field, Labels and the Definition
	RenameField  OpKind = "rename-field"
	HideField    OpKind = "hide-field"
	ShowField    OpKind = "show-field"
	AddChoice    OpKind = "add-choice" // Entity, Field, Choice, Labels
	RenameChoice OpKind = "rename-choice"
	RetireChoice OpKind = "retire-choice"
	ShowChoice   OpKind = "show-choice"
	Set          OpKind = "set" // Entity, Field, Mark, Value
)

// OpKinds lists all kinds of op.
func OpKinds() []OpKind {
	return []OpKind{AddEntity, RenameEntity, HideEntity, ShowEntity, AddField, RenameField, HideField, ShowField,
		AddChoice, RenameChoice, RetireChoice, ShowChoice, Set}
}

// Definition is what a new field is.
type Definition struct {
	Type         Type                         `json:"type,omitempty"`
	Many         bool                         `json:"many,omitempty"`
	Required     bool                         `json:"required,omitempty"`
	Indexed      bool                         `json:"indexed,omitempty"`
	Unique       bool                         `json:"unique,omitempty"` // makes it Indexed too
	Searched     bool                         `json:"searched,omitempty"`
	Sensitive    bool                         `json:"sensitive,omitempty"`
	Choices      []string                     `json:"choices,omitempty"`
	ChoiceLabels map[string]map[string]string `json:"choice_labels,omitempty"` // choice, language, text
	Target       string                       `json:"target,omitempty"`
	Formula      string                       `json:"formula,omitempty"`
	Currency     string                       `json:"currency,omitempty"`
	Max          int                          `json:"max,omitempty"`
	Default      any                          `json:"default,omitempty"`
}

// NewField is a field that comes with its entity.
type NewField struct {
	Field  string            `json:"field"`
	Labels map[string]string `json:"labels,omitempty"`
	Definition
}

// Op is one step of a change. Its JSON form is that of the API and of a package's manifest.
type Op struct {
	Kind    OpKind            `json:"op"`
	Entity  string            `json:"entity"`
	Field   string            `json:"field,omitempty"`
	Choice  string            `json:"choice,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`  // by language; renaming to "" goes back to the built-in name
	Plurals map[string]string `json:"plurals,omitempty"` // of an entity
	Definition

	Title    string     `json:"title,omitempty"` // this and the next five: of a new entity
	Owner    string     `json:"owner,omitempty"`
	Via      string     `json:"via,omitempty"`
	Contact  string     `json:"contact,omitempty"`
	Timeline bool       `json:"timeline,omitempty"`
	Fields   []NewField `json:"fields,omitempty"`

	Mark  string `json:"mark,omitempty"`  // of Set: required, unique, indexed, searched, sensitive, default or formula
	Value any    `json:"value,omitempty"` // of Set: a yes-no, the default, null for none, or the formula
}

// ParseOps reads a JSON list of ops. A member that no op has is refused.
func ParseOps(raw []byte) ([]Op, error) {
	var each []json.RawMessage
	if err := json.Unmarshal(raw, &each); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "schema.ops", "limit", MaxOps)
	}
	if len(each) > MaxOps {
		return nil, fault.New(fault.Invalid, "schema.ops", "limit", MaxOps)
	}
	ops := make([]Op, len(each))
	for i, one := range each {
		d := json.NewDecoder(bytes.NewReader(one))
		d.DisallowUnknownFields()
		if err := d.Decode(&ops[i]); err != nil || string(one) == "null" {
			return nil, inOp(misread(err, i), i)
		}
		ops[i].Default, ops[i].Value = plainDefault(ops[i].Default), plainDefault(ops[i].Value)
	}
	return ops, nil
}

// misread says what cannot be read in an op; the decoder names a member that no op has in its message only.
func misread(err error, i int) error {
	f := fault.Wrap(err, fault.Invalid, "schema.op-malformed")
	var wrong *json.UnmarshalTypeError
	member := ""
	switch {
	case errors.As(err, &wrong):
		member = wrong.Field
	case err != nil:
		if quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			member, _ = strconv.Unquote(quoted)
		}
	}
	if member != "" {
		f.Fields = fault.InvalidField(fmt.Sprintf("ops[%d].%s", i, member), "schema.member").Fields
	}
	return f
}

// String says in a line what the op does, for logs and commands: "add-field contact.shoe_size number".
func (o Op) String() string {
	s := string(o.Kind) + " " + o.Entity
	if o.Field != "" {
		s += "." + o.Field
	}
	switch o.Kind {
	case AddEntity:
		for _, f := range o.Fields {
			s += " " + f.Field
		}
	case AddField:
		s += " " + string(o.Type)
	case Set:
		s += fmt.Sprintf(" %s = %v", o.Mark, o.Value)
	case AddChoice, RenameChoice, RetireChoice, ShowChoice:
		s += " " + o.Choice
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
