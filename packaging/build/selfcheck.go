package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	neturl "net/url"
	"regexp"
	"strings"
	"time"
)

// finding is one thing that --once looked at, and how it was.
type finding struct {
	name string
	err  error
}

// report prints a check and gives its error.
func (r *demoRun) report(c finding) error {
	if c.err != nil {
		fmt.Fprintf(r.out, "FAILED  %s: %v\n", c.name, c.err)
		return fmt.Errorf("%s: %w", c.name, c.err)
	}
	fmt.Fprintf(r.out, "ok      %s\n", c.name)
	return nil
}

// selfCheck looks at the running daemon as people and programs would. All checks
// are made, also after one failed.
func (r *demoRun) selfCheck(ctx context.Context, url string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	v := &visitor{url: url, browser: &http.Client{Jar: jar, Timeout: 30 * time.Second}}
	v.token, err = r.makeToken(ctx)
	tokenErr := err
	checks := []struct {
		name string
		run  func(context.Context) error
	}{
		{"the daemon is healthy", v.healthy},
		{"the sign-in page comes, a wrong password is refused", v.refused},
		{"the printed password signs in", func(ctx context.Context) error { return v.signIn(ctx, r.password) }},
		{"a token for programs is given", func(context.Context) error { return tokenErr }},
		{"a program without a token is refused", v.anonymous},
		{fmt.Sprintf("%d customers are counted", r.flags.contacts), func(ctx context.Context) error { return v.count(ctx, r.flags.contacts) }},
		{"a customer is found by telephone and by name", v.lookup},
		{"the plugins run", func(ctx context.Context) error { return r.pluginsRun(ctx) }},
	}
	var failed []error
	for _, c := range checks {
		failed = append(failed, r.report(finding{c.name, c.run(ctx)}))
	}
	return errors.Join(failed...)
}

func (r *demoRun) makeToken(ctx context.Context) (string, error) {
	out, err := r.karov(ctx, "", "token", "create", "--json")
	if err != nil {
		return "", err
	}
	var made struct{ Token string }
	if err := json.Unmarshal(out, &made); err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	return made.Token, nil
}

// visitor is a browser and a program in one.
type visitor struct {
	url, token string
	browser    *http.Client
}

// fetch sends a request and gives the answer's body, at most a megabyte.
func (v *visitor) fetch(ctx context.Context, client *http.Client, method, path string, form neturl.Values) (*http.Response, string, error) {
	request, err := http.NewRequestWithContext(ctx, method, v.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", err
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Origin", v.url)
	}
	if client != v.browser && v.token != "" {
		request.Header.Set("Authorization", "Bearer "+v.token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return answer, string(body), err
}

// api reads one address of the API into result.
func (v *visitor) api(ctx context.Context, path string, result any) error {
	answer, body, err := v.fetch(ctx, &http.Client{Timeout: 30 * time.Second}, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s\n%s", path, answer.Status, body)
	}
	if err := json.Unmarshal([]byte(body), result); err != nil {
		return fmt.Errorf("read the answer to %s: %w", path, err)
	}
	return nil
}

func (v *visitor) healthy(ctx context.Context) error {
	answer, body, err := v.fetch(ctx, v.browser, http.MethodGet, "/healthz", nil)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s\n%s", answer.Status, body)
	}
	return err
}

// hiddenField matches what a form carries besides what people type.
var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// send fills in the sign-in form and gives the address it leads to.
func (v *visitor) send(ctx context.Context, password string) (string, error) {
	answer, page, err := v.fetch(ctx, v.browser, http.MethodGet, "/sign-in", nil)
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusOK || !strings.Contains(page, `type="password"`) {
		return "", fmt.Errorf("the sign-in page: %s\n%s", answer.Status, page)
	}
	form := neturl.Values{"email": {ownerEmail}, "password": {password}}
	for _, field := range hiddenField.FindAllStringSubmatch(page, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	answer, page, err = v.fetch(ctx, v.browser, http.MethodPost, "/sign-in", form)
	if err != nil {
		return "", err
	}
	if answer.StatusCode == http.StatusOK && answer.Request.URL.Path != "/sign-in" && strings.Contains(page, `type="password"`) {
		return "", errors.New("another page asks for the password again")
	}
	return answer.Request.URL.Path, nil
}

func (v *visitor) refused(ctx context.Context) error {
	where, err := v.send(ctx, "not the password")
	if err == nil && where != "/sign-in" {
		err = fmt.Errorf("a wrong password leads to %s", where)
	}
	return err
}

func (v *visitor) signIn(ctx context.Context, password string) error {
	where, err := v.send(ctx, password)
	if err == nil && where == "/sign-in" {
		err = errors.New("the sign-in page is shown again")
	}
	return err
}

func (v *visitor) anonymous(ctx context.Context) error {
	stranger := visitor{url: v.url}
	answer, _, err := stranger.fetch(ctx, &http.Client{Timeout: 30 * time.Second}, http.MethodGet, "/api/v1/records/contact?limit=1", nil)
	if err == nil && answer.StatusCode != http.StatusUnauthorized {
		err = fmt.Errorf("it is answered %s", answer.Status)
	}
	return err
}

// page is a list as the API gives it.
type page struct {
	Items []map[string]any `json:"items"`
	Next  string           `json:"next"`
}

// count walks the whole list, so that it proves paging as well.
func (v *visitor) count(ctx context.Context, want int) error {
	got, cursor := 0, ""
	for {
		var p page
		if err := v.api(ctx, "/api/v1/records/contact?limit=200&cursor="+neturl.QueryEscape(cursor), &p); err != nil {
			return err
		}
		got += len(p.Items)
		if p.Next == "" {
			break
		}
		cursor = p.Next
	}
	if got != want {
		return fmt.Errorf("there are %d", got)
	}
	return nil
}

// lookup takes a customer out of the list and finds the same one by the
// telephone number, and one of that name by the name.
func (v *visitor) lookup(ctx context.Context) error {
	var list page
	if err := v.api(ctx, "/api/v1/records/contact?limit=50", &list); err != nil {
		return err
	}
	for _, item := range list.Items {
		phones, _ := item["phones"].([]any)
		if len(phones) == 0 {
			continue
		}
		if err := v.finds(ctx, fmt.Sprint(phones[0]), "id", item["id"]); err != nil {
			return err
		}
		return v.finds(ctx, fmt.Sprint(item["name"]), "title", item["name"])
	}
	return errors.New("no customer in the list has a telephone number")
}

// finds looks for one that has value under key among what q brings.
func (v *visitor) finds(ctx context.Context, q, key string, value any) error {
	var found page
	if err := v.api(ctx, "/api/v1/search?q="+neturl.QueryEscape(q), &found); err != nil {
		return err
	}
	for _, item := range found.Items {
		if item[key] == value {
			return nil
		}
	}
	return fmt.Errorf("%q brings %d customers, none with %s %v: %v", q, len(found.Items), key, value, found.Items)
}

// pluginsRun asks the daemon about the plugins that it was given.
func (r *demoRun) pluginsRun(ctx context.Context) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		missing, err := r.pluginsMissing(ctx)
		if err != nil || missing == "" {
			return err
		}
		if time.Now().After(deadline) {
			return errors.New(missing)
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

func (r *demoRun) pluginsMissing(ctx context.Context) (string, error) {
	out, err := r.karov(ctx, "", "status", "--json")
	if err != nil {
		return "", err
	}
	var status struct {
		Plugins []struct{ ID, State string }
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return "", fmt.Errorf("read the status: %w", err)
	}
	if len(status.Plugins) != len(r.product.names) {
		return fmt.Sprintf("there should be %d plugins: %s", len(r.product.names), out), nil
	}
	for _, p := range status.Plugins {
		if p.State != "running" {
			return fmt.Sprintf("%s is %s", p.ID, p.State), nil
		}
	}
	return "", nil
}
