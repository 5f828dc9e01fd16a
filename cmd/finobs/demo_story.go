package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"finobs/internal/config"
	"finobs/internal/export"
	"finobs/samples"
	"finobs/workflows"

	"github.com/google/uuid"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

type storyStep struct {
	name  string
	shows string
	run   func(context.Context) (detail string, err error)
}

func (d *demo) steps() []storyStep {
	return slices.Concat(d.firstSteps(), d.morningSteps(), d.agentSteps(), d.exportSteps())
}

func (d *demo) firstSteps() []storyStep {
	return []storyStep{
		{"import a real SEC fails-to-deliver file", "every line is read, and the file's own trailer agrees", d.importFile},
		{"import it again", "content is imported once", d.importAgain},
		{"look at the incidents", "the share test of Reg SHO opened one incident a security", d.lookAtIncidents},
	}
}

func (d *demo) exportSteps() []storyStep {
	return []storyStep{
		{"alice asks for an export", "nothing leaves without approval; asking twice is one request", d.askForExport},
		{"alice tries to approve it herself", "the requester never counts", d.approveOwn},
		{"an intruder signals the workflow with Temporal's own client", "a Temporal message alone authorises nothing", d.forgeSignal},
		{"an intruder starts the export workflow directly", "an effect cannot be started around the gate", d.forgeStart},
		{"bob approves; the worker is killed before the effect", "an approval survives a crash, and a crash carries nothing out", d.approveAndKill},
		{"a worker returns", "the workflow goes on by itself, exactly once", d.resume},
		{"alice repeats her call and gets the file", "the artefact is what was sealed", d.download},
		{"an auditor verifies it offline", "a stranger needs only files and a public key", d.audit},
		{"somebody changes one character of the file", "tampering is found", d.tamper},
		{"somebody changes the copy that was delivered", "deliveries are read back and judged by keys, not by the database", d.readBack},
		{"read the ledger", "every step, and every refusal, is on record", d.readLedger},
		{"an auditor keeps a checkpoint and verifies the whole log", "signature, entries, growth and columns, with a key and files alone", d.verifyLog},
		{"the database's superuser changes one word of an entry", "edits are found, whoever makes them, and the entry is named", d.rewriteEntry},
	}
}

const exportPath = "/incidents/export?format=csv&origin=demo&kind=failed_settlement"

func (d *demo) importFile(ctx context.Context) (string, error) {
	path := d.stack.Path("sec_fails_slice.txt")
	if err := os.WriteFile(path, samples.SECFails, 0o600); err != nil {
		return "", fmt.Errorf("writing sample: %w", err)
	}
	return d.runImport(ctx, "trailer agrees")
}

func (d *demo) importAgain(ctx context.Context) (string, error) {
	return d.runImport(ctx, "nothing was changed")
}

func (d *demo) runImport(ctx context.Context, want string) (string, error) {
	var out strings.Builder
	if err := d.people["alice"].importFails(ctx, d.stack.Path("sec_fails_slice.txt"), "demo", true, &out); err != nil {
		return "", err
	}
	text := strings.ReplaceAll(strings.TrimSpace(out.String()), "\n", "; ")
	if !strings.Contains(text, want) {
		return "", fmt.Errorf("the import says %q, not %q", text, want)
	}
	return text, nil
}

func (d *demo) lookAtIncidents(ctx context.Context) (string, error) {
	a, err := d.expect(ctx, "alice", http.MethodGet, "/incidents?origin=demo&kind=failed_settlement&limit=500", "", http.StatusOK)
	if err != nil {
		return "", err
	}
	var page struct {
		Items []struct{ Title string }
	}
	if err := json.Unmarshal(a.Body, &page); err != nil || len(page.Items) == 0 {
		return "", errors.Join(errors.New("there are no incidents"), err)
	}
	return fmt.Sprintf("%d incidents, such as %q", len(page.Items), page.Items[0].Title), nil
}

func (d *demo) askForExport(ctx context.Context) (string, error) {
	// renew: an earlier telling of this story got its export already, and its
	// workflow may be just ending.
	var a answer
	err := d.until(ctx, "the export is asked for", func() (ok bool, err error) {
		a, err = d.people["alice"].do(ctx, http.MethodPost, exportPath+"&renew=true", "", nil)
		return a.Status == http.StatusAccepted, err
	})
	if err != nil {
		return "", err
	}
	d.approvalID = a.field("approval_request_id")
	var keys map[string]any
	if err := json.Unmarshal(a.Body, &keys); err != nil || len(keys) != 3 {
		return "", fmt.Errorf("the answer is %s, not detail, approval_request_id and status", a.Body)
	}
	again, err := d.expect(ctx, "alice", http.MethodPost, exportPath, "", http.StatusAccepted)
	if err != nil {
		return "", err
	}
	if again.field("approval_request_id") != d.approvalID {
		return "", fmt.Errorf("asking again made another request: %s", again.Body)
	}
	return strings.TrimSpace(string(a.Body)), d.untilStatus(ctx, "pending")
}

func (d *demo) approveOwn(ctx context.Context) (string, error) {
	a, err := d.decide(ctx, "alice", http.StatusForbidden)
	if err != nil {
		return "", err
	}
	return "403 " + a.field("detail"), nil
}

func (d *demo) decide(ctx context.Context, who string, want int) (answer, error) {
	return d.expect(ctx, who, http.MethodPost, "/approval/"+d.approvalID+"/decision", `{"decision":"approve","reason":"month-end review"}`, want)
}

func (d *demo) forgeSignal(ctx context.Context) (string, error) {
	t, err := d.temporal()
	if err != nil {
		return "", err
	}
	defer t.Close()
	a, err := d.expect(ctx, "alice", http.MethodGet, "/approval/"+d.approvalID, "", http.StatusOK)
	if err != nil {
		return "", err
	}
	forged := map[string]string{"decision": "approve", "approver": "bob", "token": "forged-" + uuid.NewString()}
	if err := t.SignalWorkflow(ctx, a.field("workflow_id"), "", workflows.SignalDecision, forged); err != nil {
		return "", fmt.Errorf("signalling: %w", err)
	}
	var reason string
	err = d.until(ctx, "the forged signal is on record", func() (bool, error) {
		reason, err = d.entry(ctx, "/approval/"+d.approvalID, "approval.signal_refused")
		return reason != "", err
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("refused and on record: %s; the approval is still pending", reason), d.untilStatus(ctx, "pending")
}

func (d *demo) forgeStart(ctx context.Context) (string, error) {
	t, err := d.temporal()
	if err != nil {
		return "", err
	}
	defer t.Close()
	run, err := t.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "forged-" + uuid.NewString(), TaskQueue: workflows.TaskQueue,
	}, workflows.Export, workflows.GateInput{ApprovalID: 999_999_999, Action: `{"kind":"export.incidents"}`, Policy: "{}", Command: "forged"})
	if err != nil {
		return "", fmt.Errorf("starting: %w", err)
	}
	err = run.Get(ctx, nil)
	var refused *temporal.ApplicationError
	if !errors.As(err, &refused) || refused.Type() != "start-not-signed" {
		return "", fmt.Errorf("the forged start ended otherwise: %w", err)
	}
	return "refused: " + refused.Message(), nil
}

// approveAndKill has the approval recorded by a worker that leaves effects alone,
// and kills that worker before any other can carry the effect out.
func (d *demo) approveAndKill(ctx context.Context) (string, error) {
	if err := d.worker.Kill(); err != nil {
		return "", err
	}
	if err := d.startWorker("--record-only"); err != nil {
		return "", err
	}
	if _, err := d.decide(ctx, "bob", 0); err != nil {
		return "", err
	}
	if err := d.untilStatus(ctx, "approved"); err != nil {
		return "", err
	}
	if err := d.worker.Kill(); err != nil {
		return "", err
	}
	a, err := d.expect(ctx, "alice", http.MethodGet, exportPath, "", http.StatusAccepted)
	if err != nil {
		return "", err
	}
	return "approved and on record, no worker left, nothing exported: " + strings.TrimSpace(string(a.Body)), nil
}

func (d *demo) resume(ctx context.Context) (string, error) {
	if err := d.startWorker(); err != nil {
		return "", err
	}
	if err := d.untilStatus(ctx, "consumed"); err != nil {
		return "", err
	}
	err := d.until(ctx, "the export is sealed", func() (bool, error) {
		a, err := d.people["alice"].do(ctx, http.MethodGet, exportPath, "", nil)
		d.exportID = a.Header.Get("X-Export-Id")
		return err == nil && a.Status == http.StatusOK, err
	})
	if err != nil {
		return "", err
	}
	a, err := d.expect(ctx, "eve", http.MethodGet, "/exports/?limit=500", "", http.StatusOK)
	if err != nil {
		return "", err
	}
	if n := bytes.Count(a.Body, []byte(`"approval_request_id":`+d.approvalID+",")); n != 1 {
		return "", fmt.Errorf("approval %s has %d exports", d.approvalID, n)
	}
	return fmt.Sprintf("export %s is sealed; approval %s has exactly one export", d.exportID, d.approvalID), nil
}

// download keeps the bundle as a folder, as an auditor would who unpacks it.
func (d *demo) download(ctx context.Context) (string, error) {
	a, err := d.expect(ctx, "alice", http.MethodGet, exportPath, "", http.StatusOK)
	if err != nil {
		return "", err
	}
	got, err := d.expect(ctx, "eve", http.MethodGet, "/exports/"+d.exportID+"/bundle", "", http.StatusOK)
	if err != nil {
		return "", err
	}
	d.bundle = d.stack.Path("demo-bundle")
	if err := errors.Join(os.RemoveAll(d.bundle), os.MkdirAll(d.bundle, 0o700)); err != nil {
		return "", fmt.Errorf("making folder: %w", err)
	}
	names, err := unpack(got.Body, d.bundle)
	return fmt.Sprintf("200, %d bytes, SHA-256 %s; the bundle has %d files", len(a.Body), a.Header.Get("X-Content-SHA256"), len(names)), err
}

// unpack writes the files of a tar archive into a folder.
func unpack(archive []byte, dir string) (names []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening folder: %w", err)
	}
	defer root.Close()
	in := tar.NewReader(bytes.NewReader(archive))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return names, fmt.Errorf("reading bundle: %w", err)
		}
		text, err := io.ReadAll(in)
		if err == nil {
			err = root.WriteFile(h.Name, text, 0o600)
		}
		if err != nil {
			return names, fmt.Errorf("keeping bundle: %w", err)
		}
		names = append(names, h.Name)
	}
}

func (d *demo) audit(ctx context.Context) (string, error) {
	out, err := d.verify(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return strings.ReplaceAll(strings.TrimSpace(out), "\n", "; "), nil
}

func (d *demo) verify(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, d.finaudit(), "export", d.bundle, "--manifest-key", d.stack.Path("keys", "manifest.pub"),
		"--decision-key", d.stack.Path("keys", "decision.pub"), "--keys", d.stack.Path("keys", "log.trust"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// exportChanged is finaudit's exit code for a bundle that was changed.
const exportChanged = 7

func (d *demo) tamper(ctx context.Context) (string, error) {
	found, err := filepath.Glob(filepath.Join(d.bundle, "incidents-*.csv"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("the bundle has artefacts %v: %w", found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		return "", fmt.Errorf("reading artefact: %w", err)
	}
	changed := bytes.Replace(text, []byte("medium"), []byte("mediun"), 1)
	if err := os.WriteFile(found[0], changed, 0o600); err != nil {
		return "", fmt.Errorf("changing artefact: %w", err)
	}
	out, err := d.verify(ctx)
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != exportChanged {
		return "", fmt.Errorf("the changed file was not found out: %w; %s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return "exit code 7: " + lines[len(lines)-1], os.WriteFile(found[0], text, 0o600)
}

// readBack has finobs read what lies at the destination, before and after it was
// changed there.
func (d *demo) readBack(ctx context.Context) (string, error) {
	err := d.until(ctx, "the export is delivered", func() (bool, error) {
		a, err := d.people["eve"].do(ctx, http.MethodGet, "/exports/"+d.exportID, "", nil)
		return err == nil && a.field("verification_status") == "verified", err
	})
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(d.stack.Path("archive", "exports", "*", d.exportID, "incidents-*.csv"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("the archive has artefacts %v: %w", found, err)
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		return "", fmt.Errorf("reading artefact: %w", err)
	}
	var verdicts []string
	for _, content := range [][]byte{text, text[:len(text)/2], text} {
		if err := errors.Join(os.Chmod(found[0], 0o600), os.WriteFile(found[0], content, 0o600)); err != nil {
			return "", fmt.Errorf("changing artefact: %w", err)
		}
		a, err := d.expect(ctx, "eve", http.MethodPost, "/exports/"+d.exportID+"/verify", "", http.StatusOK)
		if err != nil {
			return "", err
		}
		var v struct {
			Verdicts []struct{ Places []export.Finding }
		}
		if err := json.Unmarshal(a.Body, &v); err != nil || len(v.Verdicts) != 1 || len(v.Verdicts[0].Places) == 0 {
			return "", fmt.Errorf("reading verdict %s: %w", a.Body, err)
		}
		place := v.Verdicts[0].Places[0]
		verdicts = append(verdicts, strings.Trim(string(place.Verdict)+" "+place.Code, " "))
	}
	if got := strings.Join(verdicts, ", then "); got != "verified, then tampered truncated, then verified" {
		return "", fmt.Errorf("the verdicts were: %s", got)
	}
	return "delivered to archive; " + strings.Join(verdicts, ", then "), nil
}

func (d *demo) readLedger(ctx context.Context) (string, error) {
	count := 0
	for _, path := range []string{"/approval/" + d.approvalID, "/exports/" + d.exportID} {
		entries, err := d.entries(ctx, path)
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			fmt.Fprintf(d.out, "    %s  %-24s %-9s %s\n", e.RecordedAt, e.Type, e.Outcome, e.Actor.Sub)
			count++
		}
	}
	return fmt.Sprintf("%d entries about this export and its approval", count), nil
}

type storyEntry struct {
	RecordedAt string `json:"recorded_at"`
	Type       string `json:"type"`
	Outcome    string `json:"outcome"`
	Reason     string `json:"reason"`
	Actor      struct {
		Sub string `json:"sub"`
	} `json:"actor"`
}

func (d *demo) entries(ctx context.Context, path string) ([]storyEntry, error) {
	a, err := d.expect(ctx, "eve", http.MethodGet, path+"/history", "", http.StatusOK)
	if err != nil {
		return nil, err
	}
	var history struct{ Entries []storyEntry }
	if err := json.Unmarshal(a.Body, &history); err != nil {
		return nil, fmt.Errorf("reading history: %w", err)
	}
	return history.Entries, nil
}

// entry returns the reason of the first entry of a type; "" when there is none.
func (d *demo) entry(ctx context.Context, path, kind string) (string, error) {
	entries, err := d.entries(ctx, path)
	for _, e := range entries {
		if e.Type == kind {
			return e.Reason, err
		}
	}
	return "", err
}

func (d *demo) untilStatus(ctx context.Context, want string) error {
	return d.until(ctx, "the approval is "+want, func() (bool, error) {
		a, err := d.people["alice"].do(ctx, http.MethodGet, "/approval/"+d.approvalID, "", nil)
		return err == nil && a.field("status") == want, err
	})
}

// expect makes a call and fails unless it is answered with the wanted status; 0
// is any 2xx.
func (d *demo) expect(ctx context.Context, who, method, path, body string, want int) (answer, error) {
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	a, err := d.people[who].do(ctx, method, path, contentType, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	if a.Status != want && (want != 0 || a.Status/100 != 2) {
		return a, fmt.Errorf("%s %s as %s answered %d, not %d: %s", method, path, who, a.Status, want, a.Body)
	}
	return a, nil
}

func (d *demo) temporal() (client.Client, error) {
	c, err := config.Parse[config.Temporal](d.stack.Settings())
	if err != nil {
		return nil, err
	}
	return connectTemporal(c)
}
