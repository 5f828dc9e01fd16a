package llm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"finobs/internal/agent"
	"finobs/internal/budget"
	"finobs/internal/fault"
	"finobs/internal/outbound"
	"finobs/internal/plaintext"

	"github.com/sony/gobreaker/v2"
)

// maxRepairs is how often a refused answer may be mended.
const maxRepairs = 2

// failuresToOpen is how many calls in a row must fail until the provider is left
// alone, and rest is how long.
const (
	failuresToOpen = 5
	rest           = time.Minute
)

// ActionDoc is what a model is told about an action of the catalogue.
type ActionDoc struct {
	Name       string // such as "settlement.reinstruct"
	Title      string
	TargetKind string
	Parameters []ParameterDoc
}

// ParameterDoc is what a model is told about a parameter of an action.
type ParameterDoc struct {
	Name     string
	Kind     string // such as "text" or "integer"
	Required bool
	Enum     []string // the values that are allowed; empty: any of the kind
}

// Request is what an analyst is asked. The same request makes the same bytes.
type Request struct {
	Kind      agent.Kind
	Bundle    []agent.Evidence
	Catalogue []ActionDoc
	Marker    string    // random, 24 to 64 letters and digits, new for each run
	At        time.Time // the moment of the run, as the model is told it
	// Check judges an answer that has the form of the schema: what of it is kept, and
	// what makes it unusable. The latter is told to the model for a repair, cleaned
	// and cut, and should therefore not quote it.
	Check  func(agent.Output) (kept agent.Output, fatal []string)
	Budget Budget // nil is allowed in a replay alone
}

// Budget reserves before each call and settles after it. A Reserve that refuses
// returns a fault of code CodeOverBudget.
type Budget interface {
	// Reserve sets aside the worst that a call can take.
	Reserve(ctx context.Context, worst budget.Use) (reservation string, err error)
	// Settle replaces the reservation by what the call took.
	Settle(ctx context.Context, reservation string, real budget.Use) error
}

// Version names who answered: it changes when answers may.
type Version struct {
	Provider     Provider `json:"provider"`
	Model        string   `json:"model"`
	PromptSHA256 string   `json:"prompt_sha256"` // of the instructions, hexadecimal
	SchemaSHA256 string   `json:"schema_sha256"` // of the schema without the ids of a bundle
}

// String is the version in one word.
func (v Version) String() string {
	return fmt.Sprintf("%s/%s/p%.12s/s%.12s", v.Provider, v.Model, v.PromptSHA256, v.SchemaSHA256)
}

// Result is what came of a run. When it failed, Output is empty and the rest tells
// what was tried.
type Result struct {
	Output    agent.Output
	Exchanges []Exchange // in the order in which they happened
	Version   Version
	Usage     budget.Use // what the budget was charged
	// Said is each answer in words, those that were refused among them, to be searched
	// for attempts to steer. It is neither checked nor cleaned: nobody is shown it.
	Said []string
}

// Analyst asks one model of one provider. It may be used by many at once.
type Analyst struct {
	config  settled
	http    *http.Client
	breaker *gobreaker.CircuitBreaker[reply]
	replay  bool
	now     func() time.Time // of durations alone; nothing that is sent depends on it
}

// New makes an Analyst that goes to the network. Errors name the setting that is
// wrong.
func New(c Config) (*Analyst, error) {
	s, err := c.settle(true)
	if err != nil {
		return nil, err
	}
	// A connection for each call: the handshake is nothing beside the answer, and no
	// call fails because an idle connection was closed.
	network := outbound.Client{AllowPrivate: s.AllowPrivate}.Open()
	if transport, ok := network.Transport.(*http.Transport); ok && s.proxy != nil {
		transport.Proxy = http.ProxyURL(s.proxy)
	}
	return newAnalyst(s, s.open(network, nil)), nil
}

// NewReplay makes an Analyst that answers from recorded exchanges. Its settings
// must be those of the record; it needs no key.
func (c Config) NewReplay(exchanges []Exchange) (*Analyst, error) {
	s, err := c.settle(false)
	if err != nil {
		return nil, err
	}
	s.Key = Secret{}
	a := newAnalyst(s, s.open(nil, NewReplay(exchanges)))
	a.replay = true
	return a, nil
}

// NewOver makes an Analyst whose requests go to a transport of the caller's in the
// place of the network: all else is as with New. Errors name the setting that is
// wrong.
func (c Config) NewOver(transport http.RoundTripper) (*Analyst, error) {
	s, err := c.settle(true)
	if err != nil {
		return nil, err
	}
	return newAnalyst(s, s.open(nil, traced(transport))), nil
}

func newAnalyst(s settled, client *http.Client) *Analyst {
	return &Analyst{
		config: s, http: client, now: time.Now, //nolint:forbidigo // an adapter measures how long it waits
		breaker: gobreaker.NewCircuitBreaker[reply](gobreaker.Settings{
			Name: string(s.Provider), MaxRequests: 1, Timeout: rest,
			ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failuresToOpen },
			IsSuccessful: func(err error) bool { return err == nil || !isOutage(err) },
			IsExcluded:   func(err error) bool { return err != nil && !isOutage(err) && fault.CodeOf(err) != CodeInvalidOutput },
		}),
	}
}

// isOutage reports whether the provider is to blame for having given no answer.
func isOutage(err error) bool {
	code := fault.CodeOf(err)
	return code == CodeUnavailable || code == CodeTimeout
}

// Circuit is the state of the circuit breaker: closed, half-open or open.
func (a *Analyst) Circuit() string { return a.breaker.State().String() }

// Version is who answers runs of a kind.
func (a *Analyst) Version(kind agent.Kind) Version {
	return Version{
		Provider: a.config.Provider, Model: a.config.Model,
		PromptSHA256: digest([]byte(instructions(kind, a.config.Structure))), SchemaSHA256: digest(bytesOf(schemaOf(nil, nil))),
	}
}

// Analyse asks the model, and up to two times again when its answer is refused.
// Errors are faults with the codes of this package, those of the budget, or the
// context's when the caller gave up; the Result says what was tried in each case.
func (a *Analyst) Analyse(ctx context.Context, r Request) (Result, error) {
	result := Result{Version: a.Version(r.Kind)}
	p, err := a.promptOf(r)
	if err != nil {
		return result, err
	}
	if r.Budget == nil && !a.replay {
		return result, invalidRequest("there is no budget; no model is called without one")
	}
	for attempt := 1; ; attempt++ {
		said, err := a.ask(ctx, r, p, &result)
		if err != nil {
			return result, err
		}
		last := &result.Exchanges[len(result.Exchanges)-1]
		words := said.inWords(r.Bundle)
		if a.config.Key.in(words) { // behind two layers of escapes
			last.Response, last.Outcome = nil, CodeInvalidOutput
			return result, invalidOutput("the exchange with %s was stopped: %v", a.config.base.Host, errSecret)
		}
		result.Said = append(result.Said, words)
		output, problems := a.judge(said, r)
		if len(problems) == 0 {
			last.Outcome, result.Output = Accepted, output
			return result, nil
		}
		last.Outcome = Refused
		if said.hopeless || attempt > maxRepairs {
			return result, invalidOutput("answer %d of %s was refused: %s", attempt, a.config.Model, first(problems))
		}
		p = p.refused(attempt, problems)
		if err := a.fits(p); err != nil {
			return result, err
		}
	}
}

// judge reads an answer and has it checked.
func (a *Analyst) judge(said reply, r Request) (agent.Output, []string) {
	if said.problem != "" {
		return agent.Output{}, []string{said.problem}
	}
	output, problems := decode(said.text)
	if len(problems) > 0 {
		return agent.Output{}, problems
	}
	return r.Check(output)
}

// ask makes one call within the budget, unless the provider is being left alone.
func (a *Analyst) ask(ctx context.Context, r Request, p prompt, result *Result) (reply, error) {
	said, err := a.breaker.Execute(func() (reply, error) {
		worst := a.worst(p)
		reservation := ""
		if r.Budget != nil {
			var err error
			if reservation, err = r.Budget.Reserve(ctx, a.use(worst, a.config.Timeout)); err != nil {
				return reply{}, err
			}
		}
		x, said, callErr := a.call(ctx, p, worst)
		real := a.use(x.Charged, time.Duration(x.Millis)*time.Millisecond)
		result.Exchanges = append(result.Exchanges, x)
		usage, err := result.Usage.Add(real)
		if err == nil && r.Budget != nil {
			err = r.Budget.Settle(context.WithoutCancel(ctx), reservation, real)
		}
		result.Usage = usage
		return said, errors.Join(callErr, err)
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return reply{}, fault.New(fault.Unavailable, CodeCircuitOpen, "%s failed %d times in a row and is left alone for up to %s",
			a.config.base.Host, failuresToOpen, rest)
	}
	return said, err
}

// use is what tokens and time are to a budget.
func (a *Analyst) use(t Tokens, wall time.Duration) budget.Use {
	return budget.Use{Calls: 1, Tokens: t.Total(), USD: a.config.price.of(t.Input, t.Output), Wall: wall, Unpriced: !a.config.price.known}
}

// call makes one call and writes down what happened.
func (a *Analyst) call(parent context.Context, p prompt, worst Tokens) (Exchange, reply, error) {
	ctx, cancel := context.WithTimeout(parent, a.config.Timeout)
	defer cancel()
	x := Exchange{
		Provider: a.config.Provider, Model: a.config.Model, BaseURL: a.config.base.String(),
		Parameters:   a.config.parameters(),
		PromptSHA256: p.sha256, SchemaSHA256: p.schemaID,
	}
	c := &capture{exchange: &x}
	begun := a.now()
	said, err := a.generate(withCapture(ctx, c), p)
	x.Millis = a.now().Sub(begun).Milliseconds()
	x.Reported, x.Estimated = said.reported, estimate(p.size(), len(said.text))
	switch {
	case err == nil && c.err == nil:
		x.Charged = charge(x.Reported, x.Estimated, worst, p.size(), len(said.text))
		return x, said, nil
	case x.Status == http.StatusOK, x.Status == 0 && c.sent.Load():
		x.Charged = worst // nobody knows what it took
	}
	switch {
	case parent.Err() != nil && errors.Is(parent.Err(), context.Canceled):
		x.Outcome = Cancelled
		return x, reply{}, parent.Err()
	case c.err != nil:
		err = a.ofTransport(ctx, c)
	case x.Status != 0 && x.Status != http.StatusOK:
		err = a.ofStatus(x)
	default:
		err = invalidOutput("what %s answered cannot be read as the answer of a model", a.config.base.Host)
	}
	x.Outcome = fault.CodeOf(err)
	return x, reply{}, err
}

// first is the first problem, and how many more there are.
func first(problems []string) string {
	text := plaintext.Line(problems[0], 200)
	if len(problems) == 1 {
		return text
	}
	return fmt.Sprintf("%s, and %d more", text, len(problems)-1)
}
