package workflows

import (
	"finobs/activities"
	"finobs/internal/export"

	"go.temporal.io/sdk/workflow"
)

const (
	// verifyBatch is how many exports one activity verifies at least: few enough
	// that a retry repeats little. verifyTurns bounds the activities of a history.
	verifyBatch = 10
	verifyTurns = 2000
	// maxVerdicts bounds how many verdicts a result names one by one.
	maxVerdicts = 2000
)

// verifyWorkflow reads exports back and gives a verdict on each.
func verifyWorkflow(ctx workflow.Context, in VerifyInput) (Verification, error) {
	state := Verification{Verdicts: []ExportVerdict{}, Counts: map[export.Verdict]int{}}
	if err := workflow.SetQueryHandler(ctx, QueryVerification, func() (Verification, error) { return state, nil }); err != nil {
		return state, err
	}
	firstRun := workflow.GetInfo(ctx).FirstRunID
	ctx = withEffect(ctx)
	var ids []int64
	selected := activities.SelectInput{FirstRun: firstRun, Command: in.Command, Selection: in.Selection}
	if err := workflow.ExecuteActivity(ctx, ActivitySelectExports, selected).Get(ctx, &ids); err != nil {
		return state, err
	}
	state.Total = len(ids)
	size := max(verifyBatch, len(ids)/verifyTurns+1)
	for start := 0; start < len(ids); start += size {
		var judged []activities.Judged
		batch := activities.VerifyInput{FirstRun: firstRun, ExportIDs: ids[start:min(start+size, len(ids))], Command: in.Command}
		if err := workflow.ExecuteActivity(ctx, ActivityVerifyExports, batch).Get(ctx, &judged); err != nil {
			return state, err
		}
		for _, j := range judged {
			state.Done++
			state.Counts[j.Verdict]++
			if len(state.Verdicts) < maxVerdicts {
				state.Verdicts = append(state.Verdicts, ExportVerdict{ExportID: j.ExportID, Verdict: j.Verdict, Places: placesOf(j)})
			}
		}
	}
	return state, nil
}

func placesOf(j activities.Judged) []PlaceVerdict {
	places := make([]PlaceVerdict, 0, len(j.Places))
	for _, p := range j.Places {
		places = append(places, PlaceVerdict{Destination: p.Destination, Finding: p.Finding})
	}
	return places
}
