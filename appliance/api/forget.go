package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/karov-crm/karov/appliance/contact"
)

// forgetRoutes are of people who ask to be forgotten.
func (a *API) forgetRoutes() []route {
	return []route{
		{method: http.MethodPost, path: Prefix + "/contacts/:id/forget", handle: a.forget, describe: describeForget},
	}
}

// forget erases a person. It wants the version that the caller saw, as any other change does: what is erased nobody
// brings back.
func (a *API) forget(c echo.Context) error {
	values, id, err := a.act(c, "contact", "reason")
	if err != nil {
		return err
	}
	_, version, err := seen(c, "contact")
	if err != nil {
		return err
	}
	reason, err := textOf(values, "reason")
	if err != nil {
		return err
	}
	if err := a.Contacts.Forget(c.Request().Context(), id, version, reason); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func describeForget(*document) operation {
	return call("forget", "Erases a person for good: the card, its history, conversations, messages, tasks, files. Nobody can take it back.").
		header("If-Match", keyOfVersion, true).
		takes(doc{"type": "object", "properties": doc{"reason": doc{"type": "string", "enum": contact.Reasons()}},
			"required": []string{"reason"}, "additionalProperties": false}).
		answers("204", "The person is forgotten; what is left of a long history goes within seconds.", nil)
}
