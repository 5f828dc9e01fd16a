package api

import (
	"context"
	"time"

	"finobs/internal/approval"
	"finobs/internal/fault"
	"finobs/internal/store"
)

type noticeView struct {
	ID         string                `json:"notification_id"`
	ApprovalID int64                 `json:"approval_request_id" doc:"0: it is about an incident"`
	IncidentID int64                 `json:"incident_id" doc:"0: it is about a request for approval"`
	Occasion   string                `json:"occasion" doc:"requested, nobody-eligible, outcome, or the name of a rung of the ladder"`
	Kind       approval.NoticeKind   `json:"kind"`
	Channel    string                `json:"channel"`
	Recipients []personView          `json:"recipients"`
	Subject    string                `json:"subject"`
	Status     approval.NoticeStatus `json:"status" enum:"queued,sending,sent,skipped,dead,unknown"`
	Detail     string                `json:"detail" doc:"what the last attempt said"`
	Attempts   int                   `json:"attempts"`
	Round      int                   `json:"round" doc:"1, and one more for each re-send by a person"`
	CreatedAt  time.Time             `json:"created_at"`
	UpdatedAt  time.Time             `json:"updated_at"`
}

type listNoticesInput struct {
	Status     string `query:"status" enum:"queued,sending,sent,skipped,dead,unknown" doc:"dead and unknown are the dead letters"`
	ApprovalID int64  `query:"approval_request_id" minimum:"0"`
	IncidentID int64  `query:"incident_id" minimum:"0"`
	Before     string `query:"before" maxLength:"40" doc:"next_before of the page before"`
	Limit      int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}

type noticePage struct {
	Items      []noticeView `json:"items"`
	NextBefore string       `json:"next_before" doc:"cursor of the next page; empty on the last one"`
}

func (s *Server) listNotices(ctx context.Context, in *listNoticesInput) (*body[noticePage], error) {
	var before time.Time
	if in.Before != "" {
		var err error
		if before, err = time.Parse(time.RFC3339Nano, in.Before); err != nil {
			return nil, fault.New(fault.Invalid, "invalid-query", "before %q is no time such as next_before gives", in.Before)
		}
	}
	list, err := s.Reader.Notices(ctx, store.NoticeFilter{Status: in.Status, ApprovalID: in.ApprovalID, IncidentID: in.IncidentID}, before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := noticePage{Items: []noticeView{}}
	for _, n := range list {
		v := noticeView{
			ID: n.ID, ApprovalID: n.ApprovalID, IncidentID: n.IncidentID, Occasion: n.Occasion, Kind: n.Kind, Channel: n.Channel, Recipients: []personView{},
			Subject: n.Subject, Status: n.Status, Detail: n.Detail, Attempts: n.Attempts, Round: n.Round, CreatedAt: n.CreatedAt, UpdatedAt: n.UpdatedAt,
		}
		for _, r := range n.Recipients {
			v.Recipients = append(v.Recipients, viewPerson(r.Person))
		}
		out.Items = append(out.Items, v)
		if len(list) == in.Limit {
			out.NextBefore = n.CreatedAt.Format(time.RFC3339Nano)
		}
	}
	return &body[noticePage]{out}, nil
}

type resendInput struct {
	ID   string `path:"id" format:"uuid"`
	Body *reasonBody
}

func (s *Server) resend(ctx context.Context, in *resendInput) (*actedOutput, error) {
	if _, err := s.Reader.Notice(ctx, in.ID); err != nil {
		return nil, err
	}
	return s.act(ctx, approval.Act{Verb: approval.Resend, NotificationID: in.ID, Text: in.Body.reason()})
}
