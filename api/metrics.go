package api

import (
	"context"
	"time"

	"finobs/internal/approval"
	"finobs/internal/store"
)

// figuresOf is the span that figures are of when nothing is said: what they cost
// grows with the span, and not with all that was ever recorded.
const figuresOf = 30 * 24 * time.Hour

type metricsInput struct {
	Since string `query:"since" format:"date-time" doc:"requests made from this moment on; default: 30 days ago"`
}

// from is the moment that was asked for.
func (in *metricsInput) from() (time.Time, error) {
	since := time.Now().Add(-figuresOf).UTC().Truncate(time.Second)
	return since, readTimes(timeBound{in.Since, &since})
}

// MetricsView are the figures of requests for approval.
type MetricsView struct {
	Since            time.Time        `json:"since"`
	Live             metricsSplit     `json:"live"`
	Simulation       metricsSplit     `json:"simulation"`
	OldestPendingSec *float64         `json:"oldest_pending_seconds" doc:"age of the oldest live request that is pending"`
	ByApprover       []approverMetric `json:"by_approver" doc:"live requests only"`
}

// metricsSplit are figures over live requests, or over simulations.
type metricsSplit struct {
	Requests     int64                       `json:"requests"`
	ByStatus     map[approval.Status]int64   `json:"by_status"`
	ByKind       map[string]map[string]int64 `json:"by_kind" doc:"kind, then status"`
	Latency      latencyView                 `json:"decision_latency_seconds" doc:"from request to decision, of requests that people decided"`
	ExpiryRate   *float64                    `json:"expiry_rate" doc:"expired of all closed; null when none is closed"`
	RejectRate   *float64                    `json:"reject_rate" doc:"rejected of all decided; null when none is decided"`
	Overrides    map[string]int64            `json:"overrides" doc:"human overrides of agents, by override_type"`
	OverrideRate *float64                    `json:"override_rate" doc:"overrides of all requests; null without requests"`
}

type latencyView struct {
	N   int64    `json:"n"`
	P50 *float64 `json:"p50"`
	P90 *float64 `json:"p90"`
	P99 *float64 `json:"p99"`
	Max *float64 `json:"max"`
}

type approverMetric struct {
	Approver  personView `json:"approver"`
	Approved  int64      `json:"approved"`
	Rejected  int64      `json:"rejected"`
	Refused   int64      `json:"refused" doc:"decisions that did not count"`
	Delegated int64      `json:"delegated" doc:"decided in somebody's place"`
}

func (s *Server) approvalMetrics(ctx context.Context, in *metricsInput) (*body[MetricsView], error) {
	since, err := in.from()
	if err != nil {
		return nil, err
	}
	v := MetricsView{Since: since, ByApprover: []approverMetric{}}
	m, err := s.Reader.Metrics(ctx, since)
	if err != nil {
		return nil, err
	}
	v.Live, v.Simulation = split(m, false), split(m, true)
	for _, a := range m.Approvers {
		if !a.Simulation {
			v.ByApprover = append(v.ByApprover, approverMetric{personView{a.Iss, a.Sub}, a.Approved, a.Rejected, a.Refused, a.Delegated})
		}
	}
	if m.Oldest != nil {
		now, err := s.Reader.Now(ctx)
		if err != nil {
			return nil, err
		}
		v.OldestPendingSec = new(now.Sub(*m.Oldest).Seconds())
	}
	return &body[MetricsView]{v}, nil
}

func split(m store.ApprovalMetrics, simulation bool) metricsSplit {
	out := metricsSplit{ByStatus: map[approval.Status]int64{}, ByKind: map[string]map[string]int64{}, Overrides: map[string]int64{}}
	for _, c := range m.Counts {
		if c.Simulation != simulation {
			continue
		}
		out.Requests += c.N
		out.ByStatus[c.Status] += c.N
		if out.ByKind[c.Kind] == nil {
			out.ByKind[c.Kind] = map[string]int64{}
		}
		out.ByKind[c.Kind][string(c.Status)] = c.N
	}
	for _, l := range m.Latencies {
		if l.Simulation == simulation {
			out.Latency = latencyView{l.N, &l.P50, &l.P90, &l.P99, &l.Max}
		}
	}
	var overrides int64
	for _, o := range m.Overrides {
		if o.Simulation == simulation {
			out.Overrides[o.Type] = o.N
			overrides += o.N
		}
	}
	closed := out.Requests - out.ByStatus[approval.Pending]
	decided := out.ByStatus[approval.Approved] + out.ByStatus[approval.Consumed] + out.ByStatus[approval.Rejected]
	out.ExpiryRate = rate(out.ByStatus[approval.Expired], closed)
	out.RejectRate = rate(out.ByStatus[approval.Rejected], decided)
	out.OverrideRate = rate(overrides, out.Requests)
	return out
}

// rate is nil where there is nothing to divide by: no figure is invented.
func rate(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	return new(float64(part) / float64(whole))
}
