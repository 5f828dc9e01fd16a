package api

import (
	"context"
	"strconv"
	"strings"

	"finobs/internal/telemetry"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// markSpan writes on a request's span what finds its rows: the record has the trace,
// the trace has these.
func markSpan(c *gin.Context) {
	ctx := c.Request.Context()
	trace.SpanFromContext(ctx).SetAttributes(attribute.String(telemetry.SpanRequestID, requestID(ctx)))
	if !strings.HasPrefix(c.FullPath(), "/approval/:id") {
		return
	}
	if id, err := strconv.ParseInt(c.Param("id"), 10, 64); err == nil {
		markApproval(ctx, id)
	}
}

// markApproval writes an approval's id on the span of the request at hand.
func markApproval(ctx context.Context, id int64) {
	trace.SpanFromContext(ctx).SetAttributes(attribute.String(telemetry.SpanApprovalID, strconv.FormatInt(id, 10)))
}
