package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"finobs/internal/compliance"
	"finobs/internal/config"
	"finobs/internal/connector"
	"finobs/internal/llm"
	"finobs/internal/rulebook"
	"finobs/internal/sanctions"
	"finobs/rulebooks"
	"finobs/worker"
)

// A target that has no time to get well would be taken back at once; one that has more
// than an attempt at watching it lasts would be watched from the start again.
const (
	leastRecovery = time.Second
	mostRecovery  = 10 * time.Minute
)

// loadAgents reads what agents work with: rules, the connectors, the budget and the
// model.
func loadAgents(c config.Agents) (a worker.Agents, err error) {
	if c.Recovery < leastRecovery || c.Recovery > mostRecovery {
		return a, fmt.Errorf("FINOBS_ACTION_RECOVERY is %s; it must be %s to %s", c.Recovery, leastRecovery, mostRecovery)
	}
	a.Recovery = c.Recovery
	if a.Triage, err = loadRulebook(c.Rulebook); err != nil {
		return a, err
	}
	if err := fromFile("FINOBS_COMPLIANCE_RULES", c.ComplianceRules, []byte(rulebooks.Compliance), func(r io.Reader, _ string) (err error) {
		a.Rules, err = compliance.LoadRules(r)
		return err
	}); err != nil {
		return a, err
	}
	if err := fromFile("FINOBS_CONNECTORS", c.Connectors, nil, func(r io.Reader, dir string) (err error) {
		a.Connectors, err = connector.Load(r, dir, time.Now)
		return err
	}); err != nil {
		return a, err
	}
	if c.Sanctions != "" {
		if a.Names, err = loadSanctions(c.Sanctions); err != nil {
			return a, fmt.Errorf("FINOBS_SANCTIONS: %w", err)
		}
	}
	m, err := config.Load[llm.Config]()
	if err != nil || !m.Enabled() {
		return a, err
	}
	if a.Budget, err = m.Limits(); err != nil {
		return a, err
	}
	a.Model, err = llm.New(m)
	return a, err
}

// fromFile reads the file that a setting names, or else the shipped bytes; without
// either nothing is read.
func fromFile(setting, path string, shipped []byte, read func(r io.Reader, dir string) error) error {
	if path == "" {
		if shipped == nil {
			return nil
		}
		return read(bytes.NewReader(shipped), "")
	}
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s: %w", setting, err)
	}
	defer file.Close()
	if err := read(file, filepath.Dir(path)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func loadRulebook(path string) (book *rulebook.Rulebook, err error) {
	err = fromFile("FINOBS_RULEBOOK", path, rulebooks.Triage, func(r io.Reader, _ string) (err error) {
		book, err = rulebook.Load(r)
		return err
	})
	return book, err
}

// loadSanctions reads a list in OFAC's format from its folder. Aliases and addresses
// may be missing.
func loadSanctions(dir string) (*sanctions.Index, error) {
	var files sanctions.Files
	for name, into := range map[string]*io.Reader{"sdn.csv": &files.SDN, "alt.csv": &files.Alt, "add.csv": &files.Add} {
		file, err := os.Open(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) && name != "sdn.csv" {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer file.Close()
		*into = file
	}
	list, err := sanctions.Read(files)
	if err != nil {
		return nil, err
	}
	return sanctions.NewIndex(list), nil
}
