package fault_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"finobs/internal/fault"
)

func TestTheFirstFaultInAChainSpeaks(t *testing.T) {
	cause := errors.New("password is hunter2")
	inner := fault.Wrap(cause, fault.Conflict, "row-taken", "row %d is taken", 7)
	err := fmt.Errorf("saving: %w", inner)
	if fault.KindOf(err) != fault.Conflict || fault.CodeOf(err) != "row-taken" || fault.MessageOf(err) != "row 7 is taken" {
		t.Errorf("got %s %s %q", fault.KindOf(err), fault.CodeOf(err), fault.MessageOf(err))
	}
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "hunter2") {
		t.Error("the cause is lost to the log")
	}
	if strings.Contains(fault.MessageOf(err), "hunter2") {
		t.Error("the cause is shown")
	}
}

func TestAnyOtherErrorIsInternalAndMute(t *testing.T) {
	err := errors.New("password is hunter2")
	if fault.KindOf(err) != fault.Internal || fault.CodeOf(err) != "internal" || strings.Contains(fault.MessageOf(err), "hunter2") {
		t.Errorf("got %s %s %q", fault.KindOf(err), fault.CodeOf(err), fault.MessageOf(err))
	}
}

func TestRetryable(t *testing.T) {
	for kind, want := range map[fault.Kind]bool{
		fault.Invalid: false, fault.Forbidden: false, fault.NotFound: false, fault.Conflict: false, fault.Gone: false,
		fault.TooLarge: false, fault.Unauthenticated: false, fault.Unavailable: true, fault.Internal: true,
	} {
		if kind.Retryable() != want || !kind.Valid() {
			t.Errorf("%s: retryable %v, valid %v", kind, kind.Retryable(), kind.Valid())
		}
	}
	if fault.Kind("oops").Valid() {
		t.Error("a kind outside the set is valid")
	}
}
