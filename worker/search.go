package worker

import (
	"context"
	"errors"
	"fmt"

	"finobs/workflows"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
)

// RegisterSearchAttributes makes the search attributes of gated workflows known
// to the namespace. It may run again without harm.
func RegisterSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	wanted := map[string]enumspb.IndexedValueType{
		workflows.SearchApprovalID.GetName(): workflows.SearchApprovalID.GetValueType(),
		workflows.SearchStatus.GetName():     workflows.SearchStatus.GetValueType(),
		workflows.SearchKind.GetName():       workflows.SearchKind.GetValueType(),
		workflows.SearchDesk.GetName():       workflows.SearchDesk.GetValueType(),
		workflows.SearchRequester.GetName():  workflows.SearchRequester.GetValueType(),
		workflows.SearchRiskTier.GetName():   workflows.SearchRiskTier.GetValueType(),
	}
	there, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("listing search attributes of namespace %s: %w", namespace, err)
	}
	for name := range there.CustomAttributes {
		delete(wanted, name)
	}
	if len(wanted) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: wanted,
	})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("adding search attributes to namespace %s: %w", namespace, err)
	}
	return nil
}
