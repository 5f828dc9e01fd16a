package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/user"
	"strings"
	"syscall"
	"time"

	"finobs/internal/client"
	"finobs/internal/devstack"

	"github.com/spf13/cobra"
)

// caller calls the API on a person's behalf.
type caller struct{ base, token string }

// apiFlags adds the flags that say which API is called and for whom. The function
// that it returns fills in what was not given from a development stack's folder; a
// token that it mints there has the given role.
func apiFlags(cmd *cobra.Command, role string) func(context.Context) (caller, error) {
	stateFlag(cmd)
	cmd.Flags().String("url", "", "address of the API (default: that of the stack in --state)")
	cmd.Flags().String("token", "", "bearer token (default: FINOBS_TOKEN, or one of the stack in --state)")
	cmd.Annotations = map[string]string{roleAnnotation: role}
	return func(ctx context.Context) (caller, error) { return callerOf(ctx, cmd) }
}

// roleAnnotation is the name under which a command says which role it needs.
const roleAnnotation = "role"

// callerOf reads the flags of apiFlags.
func callerOf(ctx context.Context, cmd *cobra.Command) (caller, error) {
	flag := func(name string) string { return cmd.Flag(name).Value.String() }
	state := flag("state")
	c := caller{strings.TrimSuffix(flag("url"), "/"), cmp.Or(flag("token"), os.Getenv("FINOBS_TOKEN"))}
	if c.base == "" {
		c.base = "http://" + devstack.ReadAddress(state)
	}
	if c.token != "" {
		return c, nil
	}
	name := "operator"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	var err error
	if c.token, err = mint(ctx, identityKey(state), person(name, "", cmd.Annotations[roleAnnotation]), time.Hour); err != nil {
		return caller{}, fmt.Errorf("no token was given and %s holds no stack: %w", state, err)
	}
	return c, nil
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
	res, err := c.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("calling the API: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, fmt.Errorf("reading the API's answer: %w", err)
	}
	return answer{res.StatusCode, res.Header, text}, nil
}

// client is the caller's generated client.
func (c caller) client() *client.Client { return client.New(c.base, c.token, c) }

// Do sends a request, also for the generated client; the command's context ends it.
func (c caller) Do(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultClient.Do(r)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w (is it running? finobs dev starts it)", err)
	}
	return res, err
}
