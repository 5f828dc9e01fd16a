package api

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"finobs/internal/approval"
	"finobs/internal/fault"
)

// batchWorkers is how many decisions of one batch are under way at once.
const batchWorkers = 8

type batchInput struct {
	Body struct {
		Decision string      `json:"decision" enum:"approve,approved,reject,rejected"`
		Reason   string      `json:"reason,omitempty" maxLength:"2000"`
		Items    []batchItem `json:"items" minItems:"1" maxItems:"100"`
	}
}

type batchItem struct {
	ID           int64  `json:"approval_request_id" minimum:"1"`
	ActionDigest string `json:"action_digest" doc:"of the action that the caller has seen; another one is not decided on"`
}

type batchView struct {
	Items   []batchOutcome `json:"items" doc:"in the order of the call"`
	Decided int            `json:"decided"`
	Refused int            `json:"refused"`
}

// batchOutcome is what became of one item.
type batchOutcome struct {
	ID       int64        `json:"approval_request_id"`
	Status   int          `json:"http_status" doc:"what the single call would have answered"`
	Decision *decidedView `json:"decision,omitempty"`
	Problem  *Problem     `json:"problem,omitempty"`
}

// decideBatch decides on several requests as if each had been called by itself:
// one bad item harms no other. Requests of different risk are not decided on in
// one go: whoever approves a high risk looks at it alone.
func (s *Server) decideBatch(ctx context.Context, in *batchInput) (*body[batchView], error) {
	verdict, _ := approval.ParseVerdict(in.Body.Decision)
	out := batchView{Items: make([]batchOutcome, len(in.Body.Items))}
	requests := make([]approval.Request, len(in.Body.Items))
	var tier approval.RiskTier
	seen := map[int64]bool{}
	for i, item := range in.Body.Items {
		if seen[item.ID] {
			return nil, fault.New(fault.Invalid, "batch-repeats", "approval %d is in the batch twice", item.ID)
		}
		seen[item.ID] = true
		out.Items[i].ID = item.ID
		r, err := s.recorded(ctx, item.ID)
		if err == nil {
			err = sawAction(r, item.ActionDigest)
		}
		if err != nil {
			out.Items[i].refuse(ctx, err)
			continue
		}
		_, action, err := governing(r)
		if err != nil {
			return nil, err
		}
		if tier != "" && action.RiskTier != tier {
			return nil, fault.New(fault.Invalid, "batch-mixes-risk", "the batch mixes %s and %s risk; decide on each tier by itself", tier, action.RiskTier)
		}
		tier, requests[i] = action.RiskTier, r
	}
	s.decideAll(ctx, requests, verdict, in.Body.Reason, out.Items)
	for _, item := range out.Items {
		if item.Problem == nil {
			out.Decided++
		} else {
			out.Refused++
		}
	}
	return &body[batchView]{out}, nil
}

func (s *Server) decideAll(ctx context.Context, requests []approval.Request, v approval.Verdict, reason string, out []batchOutcome) {
	var all sync.WaitGroup
	turn := make(chan struct{}, batchWorkers)
	for i, r := range requests {
		if r.ID == 0 {
			continue // refused already
		}
		all.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			got, err := s.decideOn(ctx, r, v, reason)
			if err != nil {
				out[i].refuse(ctx, err)
				return
			}
			out[i].Status, out[i].Decision = got.Status, &got.Body
		})
	}
	all.Wait()
}

func (o *batchOutcome) refuse(ctx context.Context, err error) {
	o.Problem = problemOf(ctx, err)
	o.Status = o.Problem.Status
	if o.Status == 0 || errors.Is(ctx.Err(), context.Canceled) {
		o.Status = http.StatusServiceUnavailable
	}
}
