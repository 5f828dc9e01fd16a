package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"finobs/activities"
	"finobs/internal/agent"
	"finobs/internal/fault"
	"finobs/internal/llm"
	"finobs/internal/rulebook"
	"finobs/worker"

	"github.com/spf13/cobra"
)

func agentCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "agent", Short: "Look at what agents did"}
	cmd.AddCommand(agentReplayCommand())
	return cmd
}

func agentReplayCommand() *cobra.Command {
	var rulebookFile string
	cmd := &cobra.Command{
		Use:   "replay RUN",
		Short: "Make a run's output again from its record, and compare it byte for byte",
		Long: `Make the output of a run again from its record: the evidence, and of a model every request and
answer. No model is asked. An exchange that is missing, a rulebook of another version, and an
output that differs in one byte are errors.`,
		Example: "  finobs agent replay 7",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&rulebookFile, "rulebook", "", "file of the rulebook that answered (default: the shipped one)")
	return callCommand(cmd, "auditor", func(ctx context.Context, c *conversation) error {
		id, err := c.id(0, "run")
		if err != nil {
			return err
		}
		got, err := c.GetAgentRunsIDRecord(ctx, id)
		if err != nil {
			return err
		}
		said, sum, err := replay(ctx, id, got.JSON, rulebookFile)
		if err != nil {
			return err
		}
		return c.show(got.JSON, func() {
			c.say("run %d: the output of %s is the recorded one, byte for byte (SHA-256 %s)", id, said, sum)
		})
	})
}

// replay makes a run's output again from its record, as the API sent it. It returns
// which analyst said it, and its SHA-256.
func replay(ctx context.Context, id int64, sent []byte, rulebookFile string) (said, sum string, err error) {
	var record runRecord
	if err := json.Unmarshal(sent, &record); err != nil {
		return "", "", fmt.Errorf("reading the record of run %d: %w", id, err)
	}
	book, err := loadRulebook(rulebookFile)
	if err != nil {
		return "", "", err
	}
	if said, err = record.replay(ctx, book); err != nil {
		return "", "", ofRun(id, err)
	}
	return said, record.SHA256["output"], nil
}

// ofRun says which run an error is about. The message of a fault is shown in the place
// of the error, so that it has to say so itself.
func ofRun(id int64, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return fmt.Errorf("run %d: %w", id, err)
	}
	return fault.Wrap(err, f.Kind, f.Code, "run %d: %s", id, f.Message)
}

// runRecord is the answer of GET /agent/runs/{id}/record.
type runRecord struct {
	Kind      agent.Kind        `json:"kind"`
	Version   string            `json:"agent_version"`
	Fallback  string            `json:"fallback"`
	Question  []byte            `json:"question"`
	Evidence  []byte            `json:"evidence"`
	Output    []byte            `json:"output"`
	SHA256    map[string]string `json:"sha256"`
	Exchanges [][]byte          `json:"exchanges"`
}

// replay makes the output again and returns which analyst said it.
func (r runRecord) replay(ctx context.Context, book *rulebook.Rulebook) (string, error) {
	if r.Output == nil {
		return "", errors.New("it has no output: it is running, or it failed")
	}
	for part, b := range map[string][]byte{"evidence": r.Evidence, "output": r.Output} {
		if got := agent.Digest(string(b)); got != r.SHA256[part] {
			return "", fmt.Errorf("the %s has SHA-256 %s, not the recorded %s", part, got, r.SHA256[part])
		}
	}
	bundle, err := agent.DecodeBundle(r.Evidence)
	if err != nil {
		return "", err
	}
	var output agent.Output
	if agent.IsModel(r.Version) || len(r.Exchanges) > 0 {
		output, err = r.replayModel(ctx, bundle)
		if r.Fallback == "" && err != nil {
			return "", err
		}
	}
	if !agent.IsModel(r.Version) {
		if output, err = r.replayRules(book, bundle, err); err != nil {
			return "", err
		}
	}
	again, err := agent.EncodeOutput(output)
	if err != nil {
		return "", err
	}
	if !bytes.Equal(again, r.Output) {
		return "", fmt.Errorf("the output made again differs from the recorded one:\n%s\n%s", again, r.Output)
	}
	return r.Version, nil
}

// replayRules has the rulebook answer again; modelFailed is how the model failed
// when it was replayed, nil when none was asked.
func (r runRecord) replayRules(book *rulebook.Rulebook, bundle []agent.Evidence, modelFailed error) (agent.Output, error) {
	if len(r.Exchanges) > 0 {
		code, _, _ := bytes.Cut([]byte(r.Fallback), []byte(":"))
		// A call that was never made left no exchange: the replay misses it.
		unmade := (string(code) == llm.CodeOverBudget || string(code) == llm.CodeCircuitOpen) && fault.CodeOf(modelFailed) == llm.CodeReplayMiss
		switch {
		case unmade:
		case modelFailed == nil:
			return agent.Output{}, fmt.Errorf("the model failed with %s in the record, and answers in the replay: its exchanges are not those of the run", code)
		case fault.CodeOf(modelFailed) != string(code):
			return agent.Output{}, fmt.Errorf("the model failed with %s in the record, and in the replay with: %w", code, modelFailed)
		}
	}
	if now := worker.RulesVersion(book, r.Kind); now != r.Version {
		return agent.Output{}, fmt.Errorf("it was answered by %s, and this is %s: name the file of that rulebook with --rulebook", r.Version, now)
	}
	raw, err := worker.Answer(book, r.Kind, bundle)
	if err != nil {
		return agent.Output{}, err
	}
	output, _ := activities.Judge(r.Kind, true, bundle, raw)
	return output, nil
}

// replayModel asks the recorded exchanges in the place of the model.
func (r runRecord) replayModel(ctx context.Context, bundle []agent.Evidence) (agent.Output, error) {
	var q agent.Question
	if err := json.Unmarshal(r.Question, &q); err != nil {
		return agent.Output{}, fmt.Errorf("what the model was asked cannot be read: %w", err)
	}
	var list []llm.Exchange
	for n, b := range r.Exchanges {
		var x llm.Exchange
		if err := json.Unmarshal(b, &x); err != nil {
			return agent.Output{}, fmt.Errorf("exchange %d cannot be read: %w", n+1, err)
		}
		list = append(list, x)
	}
	if len(list) == 0 {
		return agent.Output{}, errors.New("the record has no exchange with the model")
	}
	c := llm.ConfigOf(list[0])
	analyst, err := c.NewReplay(list)
	if err != nil {
		return agent.Output{}, err
	}
	got, err := analyst.Analyse(ctx, worker.ModelRequest(activities.ModelQuestion{
		Kind: r.Kind, Bundle: bundle, Question: q,
		Check: func(raw agent.Output) (agent.Output, []string) {
			kept, problems := activities.Judge(r.Kind, false, bundle, raw)
			return kept, agent.Fatal(problems)
		},
	}))
	return got.Output, err
}
