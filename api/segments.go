package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"finobs/internal/approval"
	"finobs/internal/attest"
	"finobs/internal/blobdir"
	"finobs/internal/event"
	"finobs/internal/fault"
	"finobs/workflows"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

const (
	segmentSenders   = 4       // segments under way at once
	segmentMost      = 500     // deliveries of one
	segmentMostBytes = 4 << 20 // of payloads in one
	segmentQueue     = 4096    // deliveries that wait
	segmentTimeout   = time.Minute
	// segmentLinger is how long a segment waits for more while another is under way:
	// those who were answered together send again together.
	segmentLinger = 20 * time.Millisecond
	segmentAge    = time.Hour // of one that is swept up
)

// arrival is a delivery that waits for its answer.
type arrival struct {
	delivery event.Delivery
	sender   approval.Principal
	accepted chan error          // one value: Temporal has it, or why not
	done     chan event.Recorded // one value, once it is recorded in time
}

// collector gathers deliveries that come in while earlier ones are under way, so
// that many small ones cost one workflow. One that comes alone goes at once.
type collector struct {
	server   *Server
	segments *blobdir.Dir
	queue    chan *arrival
	underWay atomic.Int32 // segments
}

func newCollector(s *Server, segments *blobdir.Dir) *collector {
	return &collector{server: s, segments: segments, queue: make(chan *arrival, segmentQueue)}
}

// run sends until ctx ends and what is queued has been sent.
func (k *collector) run(ctx context.Context) {
	k.sweep(ctx)
	var senders sync.WaitGroup
	for range segmentSenders {
		senders.Go(func() {
			for {
				select {
				case a := <-k.queue:
					k.send(context.WithoutCancel(ctx), k.gather(a))
					continue
				default:
				}
				select {
				case a := <-k.queue:
					k.send(context.WithoutCancel(ctx), k.gather(a))
				case <-ctx.Done():
					return
				}
			}
		})
	}
	senders.Wait()
}

// gather takes what is queued, up to the limits of a segment, and what comes soon
// when others are under way.
func (k *collector) gather(first *arrival) []*arrival {
	batch, size := []*arrival{first}, len(first.delivery.Payload)
	linger := time.Duration(0)
	if k.underWay.Load() > 0 {
		linger = segmentLinger
	}
	over := time.After(linger)
	for len(batch) < segmentMost && size < segmentMostBytes {
		select {
		case a := <-k.queue: // before all else
			batch, size = append(batch, a), size+len(a.delivery.Payload)
			continue
		default:
		}
		select {
		case a := <-k.queue:
			batch, size = append(batch, a), size+len(a.delivery.Payload)
		case <-over:
			return batch
		}
	}
	return batch
}

// add queues a delivery; a fault of kind Unavailable when too many wait.
func (k *collector) add(d event.Delivery, sender approval.Principal) (*arrival, error) {
	a := &arrival{delivery: d, sender: sender, accepted: make(chan error, 1), done: make(chan event.Recorded, 1)}
	select {
	case k.queue <- a:
		return a, nil
	default:
		return nil, fault.New(fault.Unavailable, "intake-is-full", "%d deliveries wait already; send it again later", segmentQueue)
	}
}

// send has a segment recorded and answers those who wait for it.
func (k *collector) send(ctx context.Context, batch []*arrival) {
	k.underWay.Add(1)
	defer k.underWay.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, segmentTimeout)
	defer cancel()
	run, err := k.start(ctx, batch)
	for _, a := range batch {
		a.accepted <- err
	}
	if err != nil {
		slog.WarnContext(ctx, "a segment was not accepted", "deliveries", len(batch), "error", err)
		return
	}
	var result workflows.SegmentResult
	done, err := k.server.await(ctx, run, &result)
	if err != nil {
		slog.ErrorContext(ctx, "a segment was refused", "workflow_id", run.GetID(), "error", err)
	}
	if !done || len(result.Deliveries) != len(batch) {
		for _, a := range batch {
			close(a.done)
		}
		return
	}
	for i, a := range batch {
		a.done <- result.Deliveries[i]
	}
}

// start stores a segment and starts the workflow that records it.
func (k *collector) start(ctx context.Context, batch []*arrival) (client.WorkflowRun, error) {
	segment := make(event.Segment, 0, len(batch))
	events := 0
	for _, a := range batch {
		segment = append(segment, a.delivery)
		events += len(a.delivery.Events)
	}
	var text bytes.Buffer
	if err := segment.Write(&text); err != nil {
		return nil, err
	}
	sha, _, err := k.segments.Put(&text, int64(text.Len()))
	if err != nil {
		return nil, err
	}
	digest, err := event.SegmentDigest(sha)
	if err != nil {
		return nil, err
	}
	id := workflows.SegmentWorkflowID(sha)
	command, err := k.server.Signer.Command(ctx, attest.Command{
		ID: uuid.NewString(), IssuedAt: time.Now().UTC(), WorkflowType: workflows.RecordSegment, WorkflowID: id, PayloadDigest: digest,
		Principal: senderOf(batch), RequestID: batch[0].delivery.RequestID, TraceID: batch[0].delivery.TraceID,
	})
	if err != nil {
		return nil, errors.Join(err, k.segments.Remove(sha))
	}
	run, err := k.server.execute(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.TaskQueue, WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, workflows.RecordSegment, workflows.SegmentInput{Command: command, SHA256: sha, Events: events})
	if err != nil {
		// It may have been started all the same: then the worker needs the file. One
		// that nobody needs is swept up later.
		return nil, err
	}
	return run, nil
}

// senderOf is who sent a segment: the sender when there is one only, otherwise the
// API, which gathered them.
func senderOf(batch []*arrival) approval.Principal {
	for _, a := range batch {
		if !a.sender.Same(batch[0].sender.Person) {
			return approval.Principal{Kind: approval.System, Person: approval.Person{Issuer: "finobs", Subject: "api"}}
		}
	}
	return batch[0].sender
}

// sweep removes segments whose workflow was never started: their senders were told
// so. Those that are recorded are removed by the worker.
func (k *collector) sweep(ctx context.Context) {
	names, err := k.segments.Names()
	if err != nil {
		slog.WarnContext(ctx, "received events were not swept", "error", err)
	}
	for _, sha := range names {
		// A younger one may be another API's, about to be started.
		if info, err := os.Stat(k.segments.Path(sha)); err != nil || time.Since(info.ModTime()) < segmentAge {
			continue
		}
		err := k.server.started(ctx, workflows.SegmentWorkflowID(sha))
		var notFound *serviceerror.NotFound
		if !errors.As(err, &notFound) {
			continue
		}
		if err := k.segments.Remove(sha); err != nil {
			slog.WarnContext(ctx, "a segment was not removed", "sha256", sha, "error", err)
		}
	}
}

// started asks Temporal for a workflow; *serviceerror.NotFound when it has none.
func (s *Server) started(ctx context.Context, workflowID string) error {
	ctx, cancel := context.WithTimeout(ctx, temporalTimeout)
	defer cancel()
	_, err := s.Temporal.DescribeWorkflowExecution(ctx, workflowID, "")
	return temporalFault(err)
}
