package pgtest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Plan is how Postgres carried a statement out.
type Plan struct {
	Query string `json:"Query Text"`
	Root  Node   `json:"Plan"`
}

// Node is a step of a plan, with what it really did.
type Node struct {
	Type     string  `json:"Node Type"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	SortKey  any     `json:"Sort Key"`
	Rows     float64 `json:"Actual Rows"` // on average, of each loop
	Loops    float64 `json:"Actual Loops"`
	Filtered float64 `json:"Rows Removed by Filter"`
	Rechecks float64 `json:"Rows Removed by Index Recheck"`
	Plans    []Node  `json:"Plans"`
}

// Read is how many rows a step looked at.
func (n Node) Read() int { return int((n.Rows + n.Filtered + n.Rechecks) * n.Loops) }

// Each calls do for a step and all below it.
func (n Node) Each(do func(Node)) {
	do(n)
	for _, x := range n.Plans {
		x.Each(do)
	}
}

// String shows a plan in a few lines.
func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintln(&b, strings.Join(strings.Fields(p.Query), " "))
	var show func(Node, int)
	show = func(n Node, depth int) {
		fmt.Fprintf(&b, "%s%s %s %s: %d rows read\n", strings.Repeat("  ", depth+1), n.Type, n.Relation, n.Index, n.Read())
		for _, x := range n.Plans {
			show(x, depth+1)
		}
	}
	show(p.Root, 0)
	return b.String()
}

// Planner tells how a database carries out what runs on it, whoever asks.
type Planner struct {
	name string
	from int64 // of the server's log
}

// Explain has the server note the plan of each statement on a database, by
// auto_explain, for sessions that begin from now on.
func Explain(t testing.TB, d Database) *Planner {
	t.Helper()
	name := Value(t, d.Admin, "SELECT current_database()")
	for _, statement := range []string{
		"ALTER SYSTEM SET log_line_prefix = '%m [%p] db=%d '", "SELECT pg_reload_conf()",
		"ALTER DATABASE " + name + " SET session_preload_libraries = 'auto_explain'",
		"ALTER DATABASE " + name + " SET auto_explain.log_min_duration = 0",
		"ALTER DATABASE " + name + " SET auto_explain.log_analyze = on",
		"ALTER DATABASE " + name + " SET auto_explain.log_timing = off",
		"ALTER DATABASE " + name + " SET auto_explain.log_nested_statements = on",
		"ALTER DATABASE " + name + " SET auto_explain.log_format = 'json'",
	} {
		if err := Exec(t, d.Admin, statement); err != nil {
			t.Fatalf("pgtest: %s: %v", statement, err)
		}
	}
	time.Sleep(100 * time.Millisecond) // each process of the server takes the prefix over by itself
	p := &Planner{name: name}
	p.Plans(t)
	return p
}

// Plans returns those of the statements that have ended since it was called last.
func (p *Planner) Plans(t testing.TB) []Plan {
	t.Helper()
	file, err := os.Open(filepath.Join(server.dir, "log"))
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	text := make([]byte, info.Size()-p.from)
	if _, err := file.ReadAt(text, p.from); err != nil {
		t.Fatalf("pgtest: reading the server's log: %v", err)
	}
	p.from = info.Size()
	var out []Plan
	for record := range strings.SplitSeq(strings.ReplaceAll(string(text), "\n\t", " "), "\n") {
		_, plan, found := strings.Cut(record, "plan: ")
		if !found || !strings.Contains(record, " db="+p.name+" ") {
			continue
		}
		var one Plan
		if err := json.Unmarshal([]byte(plan), &one); err != nil {
			t.Fatalf("pgtest: reading a plan: %v\n%s", err, record)
		}
		out = append(out, one)
	}
	return out
}

// NoneReadsWhole fails the test when a step of a plan scans a table of the given
// ones in sequence, or looks at more than most rows.
func NoneReadsWhole(t testing.TB, what string, tables []string, most int, plans []Plan) {
	t.Helper()
	for _, plan := range plans {
		plan.Root.Each(func(n Node) {
			grows := slices.ContainsFunc(tables, func(table string) bool { return strings.HasSuffix(table, "."+n.Relation) })
			if n.Type == "Seq Scan" && grows || n.Read() > most {
				t.Errorf("%s: a step looks at %d rows (%s %s):\n%s", what, n.Read(), n.Type, n.Relation, plan)
			}
		})
	}
}
