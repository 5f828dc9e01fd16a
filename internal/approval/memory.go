package approval

import (
	"strconv"
	"strings"
	"sync"

	"cel.dev/cel-go/common/ast"
)

// What is worked out again and again for lists of requests is remembered here. All of
// it is pure: the same question has the same answer for ever, so nothing is ever stale.

// remembered maps questions to answers, within a bound.
type remembered[T any] struct {
	most int

	mu    sync.RWMutex
	known map[string]T
}

func remember[T any](most int) *remembered[T] {
	return &remembered[T]{most: most, known: map[string]T{}}
}

func (r *remembered[T]) get(question string) (T, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	answer, known := r.known[question]
	return answer, known
}

func (r *remembered[T]) put(question string, answer T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= r.most {
		clear(r.known)
	}
	r.known[question] = answer
}

// maxJudged bounds the reviewers that a condition remembers.
const maxJudged = 1024

// judged remembers whom a condition over the reviewer alone admits; nil for one that
// speaks of the action as well.
type judged struct{ *remembered[bool] }

// ofReviewerAlone reports whether a checked expression speaks of no part of the action.
func ofReviewerAlone(a *ast.AST) bool {
	for _, r := range a.ReferenceMap() {
		if strings.HasPrefix(r.Name, "action.") {
			return false
		}
	}
	return true
}

// question is everything that a condition can ask of a reviewer. Each part is preceded
// by its length, so that no two reviewers are asked about with the same words.
func question(r Principal) string {
	b := make([]byte, 0, 128)
	add := func(part string) {
		b = strconv.AppendInt(b, int64(len(part)), 10)
		b = append(append(b, ':'), part...)
	}
	add(r.Subject)
	add(r.Desk)
	for _, role := range r.Roles {
		add(role)
	}
	return string(b)
}

// maxActions bounds the actions that SharedAction remembers.
const maxActions = 2048

var actions = remember[Action](maxActions)

// SharedAction is ParseAction for those who only look: requests are shown more often
// than they are made. The callers share the action's lists and maps and must not
// change them.
func SharedAction(b []byte) (Action, error) {
	if a, known := actions.get(string(b)); known {
		return a, nil
	}
	a, err := ParseAction(b)
	if err == nil {
		actions.put(string(b), a)
	}
	return a, err
}
