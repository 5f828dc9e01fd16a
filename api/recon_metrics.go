package api

import (
	"context"

	"finobs/internal/store"
)

type breakMetricsInput struct {
	Profile string `query:"profile" maxLength:"64"`
	Origin  string `query:"origin" enum:"live,demo,all" default:"live"`
}

// breakMetricsView are the open breaks by type and age.
type breakMetricsView struct {
	Open  int64           `json:"open"`
	Items []breakAgesView `json:"items" doc:"by type, those of which most are open first"`
}

type breakAgesView struct {
	Type string           `json:"type"`
	Open int64            `json:"open"`
	Ages map[string]int64 `json:"ages" doc:"how many are how old since they were first seen: under_1d, 1d_to_3d, 3d_to_7d, over_7d"`
}

// breakMetrics counts open breaks by their type and their age.
func (s *Server) breakMetrics(ctx context.Context, in *breakMetricsInput) (*body[breakMetricsView], error) {
	origin := in.Origin
	if origin == "all" {
		origin = ""
	}
	rows, err := s.Reader.BreakAges(ctx, store.BreakFilter{Profile: in.Profile, Origin: origin})
	if err != nil {
		return nil, err
	}
	out := breakMetricsView{Items: []breakAgesView{}}
	for _, r := range rows {
		out.Open += r.Open
		out.Items = append(out.Items, breakAgesView{r.Type, r.Open, map[string]int64{
			"under_1d": r.UnderDay, "1d_to_3d": r.UnderThree, "3d_to_7d": r.UnderWeek, "over_7d": r.Older,
		}})
	}
	return &body[breakMetricsView]{out}, nil
}
