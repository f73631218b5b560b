package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
)

// roleRoutes are of what each role may do. A version is of all the office's roles together.
func (a *API) roleRoutes() []route {
	const all, versions = Prefix + "/roles", Prefix + "/role-versions"
	return []route{
		{method: get, path: all, handle: a.roles, describe: describeRoles},
		{method: get, path: all + "/:role", handle: a.role, describe: describeRole},
		{method: put, path: all + "/:role", handle: a.setRole, describe: describeSetRole},
		{method: del, path: all + "/:role", handle: a.removeRole, describe: describeRemoveRole},
		{method: get, path: versions, handle: a.roleVersions, describe: describeRoleVersions},
		{method: get, path: versions + "/:n", handle: a.roleVersion, describe: describeRoleVersion},
		{method: post, path: versions + "/:n/revert", handle: a.revertRoles, describe: describeRevertRoles},
	}
}

// role is a role as programs get it. One that is built in has all that it grants.
type role struct {
	Name    access.Role        `json:"name"`
	BuiltIn bool               `json:"built_in"`
	Labels  map[string]string  `json:"labels"`
	Base    access.Role        `json:"base"`
	Grants  []access.Grant     `json:"grants"`
	Fields  []access.FieldRule `json:"fields"`
}

func roleOf(r access.Rules, builtIn bool) role {
	if r.Labels == nil {
		r.Labels = map[string]string{}
	}
	return role{Name: r.Name, BuiltIn: builtIn, Labels: r.Labels, Base: r.Base, Grants: append([]access.Grant{}, r.Grants...),
		Fields: append([]access.FieldRule{}, r.Fields...)}
}

// allRoles lists the built-in roles and the office's own, with the number of the version that counts.
func (a *API) allRoles(c echo.Context) (version uint64, all []role, err error) {
	now, err := a.Gate.Policy(c.Request().Context())
	if err != nil {
		return 0, nil, err
	}
	for _, name := range access.Roles() {
		all = append(all, roleOf(a.Gate.BuiltIn(name), true))
	}
	for _, r := range now.Roles {
		all = append(all, roleOf(r, false))
	}
	return now.Number, all, nil
}

func (a *API) roles(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	version, all, err := a.allRoles(c)
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", schemaTag(version))
	return writeJSON(c, http.StatusOK, jsonType, map[string]any{"version": version, "items": all})
}

func (a *API) role(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	return a.answerRole(c, http.StatusOK)
}

// answerRole shows the role that the path names, with the version of all of them as its tag.
func (a *API) answerRole(c echo.Context, status int) error {
	version, all, err := a.allRoles(c)
	if err != nil {
		return err
	}
	name := access.Role(c.Param("role"))
	i := slices.IndexFunc(all, func(r role) bool { return r.Name == name })
	if i < 0 {
		return fault.Missing("role", shortened(string(name)))
	}
	c.Response().Header().Set("ETag", schemaTag(version))
	return writeJSON(c, status, jsonType, all[i])
}

// setRole makes a role, or gives it other rules.
func (a *API) setRole(c echo.Context) error {
	ctx := c.Request().Context()
	seen, err := seenRoles(c)
	if err != nil {
		return err
	}
	values, err := a.valuesOf(c)
	if err != nil {
		return err
	}
	rules, err := rulesOf(access.Role(c.Param("role")), values)
	if err != nil {
		return err
	}
	made, err := a.Gate.SetRole(ctx, seen, rules)
	if err != nil {
		return err
	}
	c.Response().Header().Set("ETag", schemaTag(made.Number))
	return writeJSON(c, http.StatusOK, jsonType, roleOf(rules, false))
}

// rulesOf reads what a role is to be from a body. A name within it that nobody knows is refused: it may be a rule that is
// written wrong.
func rulesOf(name access.Role, values record.Values) (access.Rules, error) {
	r := access.Rules{Name: name}
	if err := onlyThese(values, "labels", "base", "grants", "fields"); err != nil {
		return r, err
	}
	for member, into := range map[string]any{"labels": &r.Labels, "base": &r.Base, "grants": &r.Grants, "fields": &r.Fields} {
		raw, err := json.Marshal(values[member])
		if err != nil {
			return r, fault.Wrap(err, fault.Invalid, "input.invalid")
		}
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			return r, fault.InvalidField(member, "field.malformed")
		}
	}
	return r, nil
}

func (a *API) removeRole(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	seen, err := seenRoles(c)
	if err != nil {
		return err
	}
	if _, err := a.Gate.RemoveRole(c.Request().Context(), seen, access.Role(c.Param("role"))); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// seenRoles reads which version of the roles the caller saw. Zero is that of an office without roles of its own.
func seenRoles(c echo.Context) (uint64, error) {
	tags := tagsOf(c.Request().Header, "If-Match")
	if len(tags) == 1 && tags[0] == schemaTag(0) {
		return 0, nil
	}
	return versionOf(tags)
}

// rolesVersion is a version of the roles as programs get it; in lists without the roles.
type rolesVersion struct {
	Number uint64      `json:"number"`
	At     any         `json:"at"`
	By     string      `json:"by"`
	Act    string      `json:"act"`
	Role   access.Role `json:"role,omitempty"`
	To     *uint64     `json:"to,omitempty"`
	Roles  []role      `json:"roles,omitempty"`
}

func versionOfRoles(v access.Version) rolesVersion {
	shown := rolesVersion{Number: v.Number, At: moment(v.At), By: v.By, Act: v.Act, Role: v.Role}
	if v.Act == "reverted" {
		shown.To = &v.To
	}
	return shown
}

// wholeVersion is one with its roles.
func wholeVersion(v access.Version) rolesVersion {
	shown := versionOfRoles(v)
	shown.Roles = []role{}
	for _, r := range v.Roles {
		shown.Roles = append(shown.Roles, roleOf(r, false))
	}
	return shown
}

// roleVersions lists who changed the roles, the newest change first.
func (a *API) roleVersions(c echo.Context) error {
	values, err := parameters(c, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limitOf(values, record.DefaultLimit, record.MaxLimit)
	if err != nil {
		return err
	}
	before, err := beforeOf(values)
	if err != nil {
		return err
	}
	all, err := a.Gate.Versions(c.Request().Context())
	if err != nil {
		return err
	}
	shown, next := []rolesVersion{}, ""
	for _, v := range all {
		if before > 0 && v.Number >= before {
			continue
		}
		if len(shown) == limit {
			next = strconv.FormatUint(shown[limit-1].Number, 10)
			break
		}
		shown = append(shown, versionOfRoles(v))
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, next))
}

// beforeOf reads a cursor that is a number: the list goes on below it. Zero is for none.
func beforeOf(values map[string]string) (before uint64, err error) {
	text, given := values["cursor"]
	if !given {
		return 0, nil
	}
	if before, err = strconv.ParseUint(text, 10, 64); err != nil || before == 0 {
		return 0, fault.InvalidField("cursor", "list.cursor")
	}
	return before, nil
}

// numberOf reads the number of a version from the path.
func numberOf(c echo.Context) (uint64, error) {
	n, err := strconv.ParseUint(c.Param("n"), 10, 63)
	if err != nil {
		return 0, fault.Missing("policy", shortened(c.Param("n")))
	}
	return n, nil
}

func (a *API) roleVersion(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	n, err := numberOf(c)
	if err != nil {
		return err
	}
	v, err := a.versionOfNumber(c, n)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, wholeVersion(v))
}

func (a *API) versionOfNumber(c echo.Context, n uint64) (access.Version, error) {
	all, err := a.Gate.Versions(c.Request().Context())
	if err != nil {
		return access.Version{}, err
	}
	for _, v := range all {
		if v.Number == n {
			return v, nil
		}
	}
	return access.Version{}, fault.Missing("policy", strconv.FormatUint(n, 10))
}

// revertRoles brings the roles back to how they stood. A version never changes, so that who asks again is given the one
// that he made.
func (a *API) revertRoles(c echo.Context) error {
	ctx := c.Request().Context()
	to, err := numberOf(c)
	if err != nil {
		return err
	}
	if err := a.noBody(c); err != nil {
		return err
	}
	seen, err := seenRoles(c)
	if err != nil {
		return err
	}
	if err := a.Gate.Require(ctx, access.Administer, access.Object{Entity: "office"}); err != nil {
		return err
	}
	again, err := a.again(c, "revert roles", []uint64{seen, to})
	if err != nil {
		return err
	}
	if again {
		v, err := a.versionOfNumber(c, seen+1)
		if err == nil && v.Act == "reverted" && v.To == to && v.By == access.ActorFrom(ctx).ID {
			return answerRoles(c, v)
		}
	}
	made, err := a.Gate.Revert(ctx, seen, to)
	if err != nil {
		return err
	}
	return answerRoles(c, made)
}

func answerRoles(c echo.Context, v access.Version) error {
	c.Response().Header().Set("ETag", schemaTag(v.Number))
	return writeJSON(c, http.StatusOK, jsonType, wholeVersion(v))
}

// noBody reads a call that takes no parameters, and no body or an empty one.
func (a *API) noBody(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	values, err := a.body(c, true)
	if err != nil {
		return err
	}
	return onlyThese(values)
}

// again tells whether the caller asks for something with an Idempotency-Key with which he asked for it before. What came
// of that, only the one who does it can tell: the first time it may have failed.
func (a *API) again(c echo.Context, what string, asked any) (bool, error) {
	key, err := idempotencyKey(c.Request())
	if err != nil || key == "" {
		return false, err
	}
	_, fresh, err := a.Book.Once(c.Request().Context(), what, key, asked)
	return !fresh && err == nil, err
}
