package api

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/access"
	"github.com/karov-crm/karov/appliance/fault"
	"github.com/karov-crm/karov/appliance/record"
	"github.com/karov-crm/karov/appliance/staff"
)

// staffRoutes are of the people of the office: their teams, and which role and team each has.
func (a *API) staffRoutes() []route {
	const teams, accounts = Prefix + "/teams", Prefix + "/accounts"
	return []route{
		{method: get, path: teams, handle: a.teams, describe: describeTeams},
		{method: post, path: teams, handle: a.addTeam, describe: describeAddTeam},
		{method: patch, path: teams + "/:id", handle: a.renameTeam, describe: describeRenameTeam},
		{method: del, path: teams + "/:id", handle: a.removeTeam, describe: describeRemoveTeam},
		{method: get, path: accounts, handle: a.listAccounts, describe: describeAccounts},
		{method: put, path: accounts + "/:id/role", handle: a.setAccountRole, describe: describeAccountRole},
		{method: put, path: accounts + "/:id/team", handle: a.setAccountTeam, describe: describeAccountTeam},
	}
}

func (a *API) teams(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	all, err := a.Staff.Teams(c.Request().Context())
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(append([]staff.Team{}, all...), ""))
}

// teamName reads what a team is to be called.
func (a *API) teamName(c echo.Context) (string, record.Values, error) {
	values, err := a.valuesOf(c)
	if err != nil {
		return "", nil, err
	}
	if err := onlyThese(values, "name"); err != nil {
		return "", nil, err
	}
	name, err := textOf(values, "name")
	return name, values, err
}

func (a *API) addTeam(c echo.Context) error {
	ctx := c.Request().Context()
	key, err := idempotencyKey(c.Request())
	if err != nil {
		return err
	}
	name, values, err := a.teamName(c)
	if err != nil {
		return err
	}
	if err := a.Gate.Require(ctx, access.Administer, access.Object{Entity: "staff"}); err != nil {
		return err
	}
	id := record.NewID()
	if key != "" {
		if id, _, err = a.Book.Once(ctx, "team", key, values); err != nil {
			return err
		}
	}
	t, err := a.Staff.TeamAddOnce(ctx, id, name)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusCreated, jsonType, t)
}

func (a *API) renameTeam(c echo.Context) error {
	ctx := c.Request().Context()
	name, _, err := a.teamName(c)
	if err != nil {
		return err
	}
	id := c.Param("id")
	if err := a.Staff.TeamRename(ctx, id, name); err != nil {
		return err
	}
	all, err := a.Staff.Teams(ctx)
	i := slices.IndexFunc(all, func(t staff.Team) bool { return t.ID == id })
	switch {
	case err != nil && fault.KindOf(err) == fault.Forbidden, err == nil && i < 0:
		return c.NoContent(http.StatusNoContent) // it worked, and is not his to see, or gone meanwhile
	case err != nil:
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, all[i])
}

func (a *API) removeTeam(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	if err := a.Staff.TeamRemove(c.Request().Context(), c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// account is an account as programs get it: nothing by which anybody could sign in.
type account struct {
	ID       string      `json:"id"`
	Email    string      `json:"email"`
	Name     string      `json:"name"`
	Role     access.Role `json:"role"`
	Team     *string     `json:"team"`
	Lang     string      `json:"lang"`
	Disabled bool        `json:"disabled"`
	Created  any         `json:"created_at"`
}

func accountOf(a staff.Account) account {
	shown := account{ID: a.ID, Email: a.Email, Name: a.Name, Role: a.Role, Lang: a.Lang, Disabled: a.Disabled, Created: moment(a.Created)}
	if a.Team != "" {
		shown.Team = &a.Team
	}
	return shown
}

func (a *API) listAccounts(c echo.Context) error {
	if _, err := parameters(c); err != nil {
		return err
	}
	all, err := a.Staff.List(c.Request().Context())
	if err != nil {
		return err
	}
	shown := make([]account, 0, len(all))
	for _, one := range all {
		shown = append(shown, accountOf(one))
	}
	return writeJSON(c, http.StatusOK, jsonType, itemsOf(shown, ""))
}

// wishOfAccount reads the one member of a body by which an account is changed. It must stand there.
func (a *API) wishOfAccount(c echo.Context, member string) (string, error) {
	values, err := a.valuesOf(c)
	if err != nil {
		return "", err
	}
	if err := onlyThese(values, member); err != nil {
		return "", err
	}
	if _, given := values[member]; !given {
		return "", fault.InvalidField(member, "field.required")
	}
	return textOf(values, member)
}

func (a *API) setAccountRole(c echo.Context) error {
	name, err := a.wishOfAccount(c, "role")
	if err != nil {
		return err
	}
	err = a.Staff.SetRole(c.Request().Context(), c.Param("id"), access.Role(name))
	if err != nil && fault.Of(err).Key == "role.unknown" {
		return fault.InvalidField("role", "role.unknown", "role", name)
	}
	return a.answerAccount(c, err)
}

func (a *API) setAccountTeam(c echo.Context) error {
	team, err := a.wishOfAccount(c, "team")
	if err != nil {
		return err
	}
	err = a.Staff.SetTeam(c.Request().Context(), c.Param("id"), team)
	if err != nil && fault.Of(err).Key == "team.not-found" {
		return fault.InvalidField("team", "team.not-found", "id", team)
	}
	return a.answerAccount(c, err)
}

// answerAccount shows the account that the path names, to who may see the staff.
func (a *API) answerAccount(c echo.Context, err error) error {
	if err != nil {
		return err
	}
	all, err := a.Staff.List(c.Request().Context())
	i := slices.IndexFunc(all, func(one staff.Account) bool { return one.ID == c.Param("id") })
	switch {
	case err != nil && fault.KindOf(err) == fault.Forbidden, err == nil && i < 0:
		return c.NoContent(http.StatusNoContent)
	case err != nil:
		return err
	}
	return writeJSON(c, http.StatusOK, jsonType, accountOf(all[i]))
}
