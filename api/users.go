package api

import (
	"context"
	"slices"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/store"
	"finobs/workflows"
)

// userView is somebody on the roster.
type userView struct {
	Issuer  string             `json:"iss"`
	Subject string             `json:"sub"`
	Kind    approval.ActorKind `json:"kind" enum:"human,agent,system"`
	Roles   []string           `json:"roles"`
	Desk    string             `json:"desk"`
	Email   string             `json:"email"`
	Active  bool               `json:"active"`
	Version int64              `json:"version"`
}

func viewUser(m approval.Member) userView {
	return userView{m.Issuer, m.Subject, m.Kind, append([]string{}, m.Roles...), m.Desk, m.Email, m.Active, m.Version}
}

type listUsersInput struct {
	Role   string `query:"role" enum:"admin,compliance,analyst,trader,auditor,viewer,service"`
	Desk   string `query:"desk" maxLength:"32"`
	Active string `query:"active" enum:"true,false"`
	After  string `query:"after" maxLength:"1024" doc:"next_after of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type userPage struct {
	Items     []userView `json:"items"`
	NextAfter string     `json:"next_after" doc:"cursor of the next page; empty on the last one"`
}

func (s *Server) listUsers(ctx context.Context, in *listUsersInput) (*body[userPage], error) {
	filter := store.PersonFilter{Role: in.Role, Desk: in.Desk}
	if in.Active != "" {
		active := in.Active == "true"
		filter.Active = &active
	}
	after := strings.Replace(in.After, "|", "\n", 1)
	list, err := s.Reader.People(ctx, filter, after, in.Limit)
	if err != nil {
		return nil, err
	}
	out := userPage{Items: []userView{}}
	for _, m := range list {
		out.Items = append(out.Items, viewUser(m))
		if len(list) == in.Limit {
			out.NextAfter = strings.Replace(m.Key(), "\n", "|", 1)
		}
	}
	return &body[userPage]{out}, nil
}

// UserFields are what is set of a user; what is left out of a change stays.
type UserFields struct {
	Kind   string   `json:"kind,omitempty" enum:"human,agent,system" doc:"default: human"`
	Roles  []string `json:"roles,omitempty" enum:"admin,compliance,analyst,trader,auditor,viewer,service" maxItems:"7"`
	Desk   *string  `json:"desk,omitempty" maxLength:"32"`
	Email  *string  `json:"email,omitempty" maxLength:"254"`
	Active *bool    `json:"active,omitempty" doc:"default: true"`
	Reason string   `json:"reason,omitempty" maxLength:"2000" doc:"told to the approvers"`
	Renew  bool     `json:"renew,omitempty" doc:"ask again although the same change was decided before"`
}

func (f UserFields) onto(m approval.Member) approval.Member {
	if f.Kind != "" {
		m.Kind = approval.ActorKind(f.Kind)
	}
	if f.Roles != nil {
		m.Roles = f.Roles
	}
	if f.Desk != nil {
		m.Desk = *f.Desk
	}
	if f.Email != nil {
		m.Email = *f.Email
	}
	if f.Active != nil {
		m.Active = *f.Active
	}
	return m
}

type addUserInput struct {
	Body struct {
		Somebody
		UserFields
	}
}

// addUser asks to put somebody on the roster.
func (s *Server) addUser(ctx context.Context, in *addUserInput) (*changeOutput, error) {
	person := in.Body.person(ctx)
	m := in.Body.onto(approval.Member{Person: person, Kind: approval.Human, Active: true})
	there, on, err := s.Reader.Member(ctx, person)
	if err != nil {
		return nil, err
	}
	if on {
		same := m
		same.Version = there.Version
		if there.Version == 1 && sameMember(same, there) {
			return &changeOutput{Status: 200, Body: changeView{Detail: "the user is on the roster", User: new(viewUser(there))}}, nil
		}
		return nil, fault.New(fault.Conflict, "user-exists", "%s is on the roster already; change him with PATCH /users/%s", person.Subject, person.Subject)
	}
	return s.change(ctx, m, in.Body.UserFields)
}

func sameMember(a, b approval.Member) bool {
	roles := func(m approval.Member) []string {
		r := slices.Clone(m.Roles)
		slices.Sort(r)
		return r
	}
	return a.Kind == b.Kind && a.Desk == b.Desk && a.Email == b.Email && a.Active == b.Active && slices.Equal(roles(a), roles(b))
}

// UserInput names somebody on the roster.
type UserInput struct {
	Subject string `path:"sub" maxLength:"255"`
	Issuer  string `query:"iss" maxLength:"255" doc:"default: the caller's own issuer"`
}

func (in UserInput) member(ctx context.Context, s *Server) (approval.Member, error) {
	person := Somebody{in.Issuer, in.Subject}.person(ctx)
	m, on, err := s.Reader.Member(ctx, person)
	if err == nil && !on {
		err = fault.New(fault.NotFound, "no-such-user", "%s of issuer %s is not on the roster", person.Subject, person.Issuer)
	}
	return m, err
}

func (s *Server) getUser(ctx context.Context, in *UserInput) (*body[userView], error) {
	m, err := in.member(ctx, s)
	if err != nil {
		return nil, err
	}
	return &body[userView]{viewUser(m)}, nil
}

func (s *Server) userHistory(ctx context.Context, in *UserInput) (*body[historyView], error) {
	m, err := in.member(ctx, s)
	if err != nil {
		return nil, err
	}
	entries, err := s.historyOf(ctx, "user", m.Issuer+"|"+m.Subject)
	return &body[historyView]{historyView{entries}}, err
}

type changeUserInput struct {
	UserInput
	Body UserFields
}

// changeUser asks to change somebody's roles, desk, address, or whether he is
// active.
func (s *Server) changeUser(ctx context.Context, in *changeUserInput) (*changeOutput, error) {
	there, err := in.member(ctx, s)
	if err != nil {
		return nil, err
	}
	m := in.Body.onto(there)
	if sameMember(m, there) {
		return &changeOutput{Status: 200, Body: changeView{Detail: "the user is as you ask", User: new(viewUser(there))}}, nil
	}
	return s.change(ctx, m, in.Body)
}

// changeView is the brief's answer to a gated call, or the user once the change
// is in force.
type changeView struct {
	Detail string          `json:"detail" example:"Change requires approval"`
	ID     int64           `json:"approval_request_id,omitempty" example:"42"`
	Status approval.Status `json:"status,omitempty" example:"pending"`
	User   *userView       `json:"user,omitempty"`
}

type changeOutput struct {
	Status int
	Body   changeView
}

func (s *Server) change(ctx context.Context, m approval.Member, f UserFields) (*changeOutput, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	me := principal(ctx)
	got, err := s.ask(ctx, question{
		action: approval.ChangeOf(m, me.Person, me.Desk), workflowType: workflows.Change, reason: f.Reason, renew: f.Renew,
	})
	if err != nil {
		return nil, err
	}
	return changed(got)
}

// changed answers a call for a change with where its request stands.
func changed(got asked) (*changeOutput, error) {
	switch got.Status {
	case approval.Pending, approval.Approved, approval.Consumed:
		return &changeOutput{Status: 202, Body: changeView{Detail: detailOf("Change", got.Status), ID: got.ID, Status: got.Status}}, nil
	case approval.Rejected:
		return nil, fault.New(fault.Forbidden, "change-rejected", "approval %d was rejected: %q; add renew to ask again", got.ID, got.StatusReason)
	default:
		return nil, fault.New(fault.Gone, "change-"+string(got.Status), "approval %d is %s; add renew to ask again", got.ID, got.Status)
	}
}
