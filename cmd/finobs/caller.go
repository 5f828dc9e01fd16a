package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"finobs/internal/devstack"

	"github.com/spf13/cobra"
)

// caller calls the API on a person's behalf.
type caller struct{ base, token string }

// apiFlags adds the flags that say which API is called and for whom. The function
// that it returns fills in what was not given from a development stack's folder; a
// token that it mints there has the given role.
func apiFlags(cmd *cobra.Command, role string) func(context.Context) (caller, error) {
	state := stateFlag(cmd)
	apiURL := cmd.Flags().String("url", "", "address of the API (default: that of the stack in --state)")
	token := cmd.Flags().String("token", os.Getenv("FINOBS_TOKEN"), "bearer token (default: FINOBS_TOKEN, or one of the stack in --state)")
	return func(ctx context.Context) (caller, error) {
		c := caller{strings.TrimSuffix(*apiURL, "/"), *token}
		if c.base == "" {
			c.base = "http://" + devstack.ReadAddress(*state)
		}
		if c.token != "" {
			return c, nil
		}
		name := "operator"
		if u, err := user.Current(); err == nil && u.Username != "" {
			name = u.Username
		}
		var err error
		if c.token, err = mint(ctx, identityKey(*state), person(name, "", role), time.Hour); err != nil {
			return caller{}, fmt.Errorf("no token was given and %s holds no stack: %w", *state, err)
		}
		return c, nil
	}
}

// answer is an HTTP answer in full.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// field reads one member of a JSON answer as text; "" when there is none.
func (a answer) field(name string) string {
	var members map[string]any
	if json.Unmarshal(a.Body, &members) != nil || members[name] == nil {
		return ""
	}
	return fmt.Sprint(members[name])
}

// do makes a call; headers are names and values in turn, of which empty values are
// left out.
func (c caller) do(ctx context.Context, method, path, contentType string, body io.Reader, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return answer{}, fmt.Errorf("calling the API: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] != "" {
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("calling the API: %w (is it running? finobs dev starts it)", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, fmt.Errorf("reading the API's answer: %w", err)
	}
	return answer{res.StatusCode, res.Header, text}, nil
}

// expect makes a call with a JSON body, nil for none, and fails with what the API
// says unless it answers with one of the wanted statuses.
func (c caller) expect(ctx context.Context, method, path string, body any, want ...int) (answer, error) {
	var payload io.Reader
	contentType := ""
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer{}, fmt.Errorf("calling the API: %w", err)
		}
		payload, contentType = bytes.NewReader(text), "application/json"
	}
	a, err := c.do(ctx, method, path, contentType, payload)
	if err != nil || slices.Contains(want, a.Status) {
		return a, err
	}
	detail := a.field("detail")
	if detail == "" {
		detail = "it sent no reason; is this the address of finobs api?"
	}
	return a, fmt.Errorf("%s answered %d to %s %s: %s", c.base, a.Status, method, path, detail)
}

// get reads a JSON answer into into.
func (c caller) get(ctx context.Context, path string, into any) error {
	a, err := c.expect(ctx, http.MethodGet, path, nil, http.StatusOK)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(a.Body, into); err != nil {
		return fmt.Errorf("reading the API's answer to GET %s: %w", path, err)
	}
	return nil
}
