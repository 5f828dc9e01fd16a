package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/canonical"
	"finobs/internal/fault"
	"finobs/internal/ledger"

	"go.temporal.io/sdk/activity"
)

// command verifies that the API asked for this workflow with this payload.
func command(ctx context.Context, v *attest.Verifier, token, payloadDigest string) (attest.Command, error) {
	info := activity.GetInfo(ctx)
	c, err := v.Command(token)
	switch {
	case err != nil:
		return c, fault.Wrap(err, fault.Forbidden, "start-not-signed", "the start is not signed by the API")
	case c.WorkflowID != info.WorkflowExecution.ID || c.WorkflowType != info.WorkflowType.Name || c.PayloadDigest != payloadDigest:
		return c, fault.New(fault.Forbidden, "start-not-signed", "the start was signed for another workflow or payload")
	case c.Principal.Kind == approval.Agent:
		return c, fault.New(fault.Forbidden, "agent-start", "agents do not start workflows of this type")
	}
	return c, nil
}

// refuseStart records a start that nothing vouches for, and returns why. What
// passes by itself is returned unrecorded, for Temporal to retry.
func refuseStart[T Recorder](ctx context.Context, inTx Transaction[T], firstRun, token string, why error) error {
	if fault.KindOf(why).Retryable() {
		return why
	}
	info := activity.GetInfo(ctx)
	sum := sha256.Sum256([]byte(token))
	ordinal := strings.Join([]string{hex.EncodeToString(sum[:]), fault.CodeOf(why), fault.MessageOf(why)}, " ")
	err := inTx(ctx, func(tx T) error {
		_, err := tx.Append(ctx, stepOf(ctx, firstRun, "refuse-start", ordinal), ledger.Entry{
			Type: "workflow.refused", Actor: ledger.Itself("worker"),
			Subject: ledger.Subject{Kind: "workflow", ID: info.WorkflowExecution.ID},
			Action:  "start", Outcome: "refused", Reason: fault.MessageOf(why), TraceID: traceID(ctx),
			Details: canonical.Object{
				"workflow_type": info.WorkflowType.Name, "code": fault.CodeOf(why), "command_sha256": hex.EncodeToString(sum[:]),
			},
		})
		return err
	})
	if err != nil {
		return err
	}
	return why
}
