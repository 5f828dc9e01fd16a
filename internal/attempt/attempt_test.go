package attempt_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"finobs/internal/attempt"
)

func TestDoReturnsWhatTheCallDoes(t *testing.T) {
	var one attempt.One[int]
	got, took, err := one.Do(t.Context(), time.Second, func(context.Context) (int, error) { return 7, nil })
	if got != 7 || err != nil || took < 0 {
		t.Errorf("got %d, %s, %v", got, took, err)
	}
	if _, _, err := one.Do(t.Context(), time.Second, func(context.Context) (int, error) { return 0, errors.New("no") }); err == nil || err.Error() != "no" {
		t.Errorf("got %v", err)
	}
}

func TestACallThatHangsIsGivenUpAndNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var one attempt.One[int]
		var calls atomic.Int64
		release := make(chan struct{})
		hang := func(context.Context) (int, error) {
			calls.Add(1)
			<-release
			return 1, nil
		}
		if _, took, err := one.Do(t.Context(), time.Second, hang); err == nil || took > 2*time.Second {
			t.Errorf("waited %s: %v", took, err)
		}
		time.Sleep(5 * time.Second)
		if _, took, err := one.Do(t.Context(), time.Second, hang); err == nil || !strings.Contains(err.Error(), "no answer for 6") || took != 0 {
			t.Errorf("waited %s: %v", took, err)
		}
		close(release)
		synctest.Wait()
		got, _, err := one.Do(t.Context(), time.Second, hang)
		if got != 1 || err != nil || calls.Load() != 2 {
			t.Errorf("after the call returned: %d, %v, %d calls", got, err, calls.Load())
		}
	})
}

func TestACallThatHeedsItsContextSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var one attempt.One[int]
		_, _, err := one.Do(t.Context(), time.Second, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, errors.New("dialling took too long")
		})
		if err == nil || err.Error() != "dialling took too long" {
			t.Errorf("got %v", err)
		}
	})
}
