package api

import (
	"context"

	"finobs/internal/store"
	"finobs/internal/telemetry"
)

// showStanding has the gauges of what waits show what the database says, each time
// that they are asked for. Every API process shows the same.
func (s *Server) showStanding() (stop func(), err error) {
	return telemetry.Show(func(ctx context.Context) ([]telemetry.Reading, error) {
		now, err := s.Reader.Standing(ctx)
		if err != nil {
			return nil, err
		}
		return readings(now), nil
	},
		telemetry.Pending, telemetry.PendingAge, telemetry.DeadlineIn, telemetry.Queued, telemetry.QueuedAge, telemetry.Dead, telemetry.Unknown,
		telemetry.ExportsOpen, telemetry.LogSize, telemetry.LogSigned, telemetry.BeatAge, telemetry.IncidentsOpen, telemetry.FeedAge,
		telemetry.SinkBehind, telemetry.SinkConnected)
}

func readings(now store.Standing) []telemetry.Reading {
	out := []telemetry.Reading{
		telemetry.Pending.Is(float64(now.Pending)),
		telemetry.Queued.Is(float64(now.Queued)),
		telemetry.Dead.Is(float64(now.Dead)),
		telemetry.Unknown.Is(float64(now.UnknownNotices), telemetry.Subject.Of("notification")),
		telemetry.Unknown.Is(float64(now.UnknownDeliveries), telemetry.Subject.Of("delivery")),
		telemetry.Unknown.Is(float64(now.UnknownActions), telemetry.Subject.Of("action")),
		telemetry.ExportsOpen.Is(float64(now.ExportsOpen)),
		telemetry.LogSize.Is(float64(now.LogSize)),
		telemetry.LogSigned.Is(float64(now.LogSigned)),
	}
	for gauge, age := range map[*telemetry.Instrument]*float64{
		telemetry.PendingAge: now.PendingAge, telemetry.DeadlineIn: now.DeadlineIn, telemetry.QueuedAge: now.QueuedAge, telemetry.BeatAge: now.BeatAge,
	} {
		if age != nil {
			out = append(out, gauge.Is(*age))
		}
	}
	open := map[string]int64{"info": 0, "low": 0, "medium": 0, "high": 0, "critical": 0} // none is a figure as well
	for _, c := range now.Incidents {
		open[c.Severity] = c.N
	}
	for severity, n := range open {
		out = append(out, telemetry.IncidentsOpen.Is(float64(n), telemetry.Severity.Of(severity)))
	}
	for _, f := range now.Feeds {
		out = append(out, telemetry.FeedAge.Is(f.Age, telemetry.Source.Of(f.Source)))
	}
	for _, l := range now.Sinks {
		connected := 0.0
		if l.Connected {
			connected = 1
		}
		of := telemetry.Sink.Of(l.Name)
		out = append(out, telemetry.SinkBehind.Is(float64(l.Behind), of), telemetry.SinkConnected.Is(connected, of))
	}
	return out
}
