package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// floorConns is the size of the floor's pool, which is that of the API.
const floorConns = 40

// bare is the floor: handlers that run the API's statements, prepared, and write the
// rows as JSON, for anybody.
type bare struct {
	approvals, approval, decisions, comments, rungs *sqlx.Stmt
	incidents, incident, entries, exports           *sqlx.Stmt
}

// floorHTTP is the program that serves the floor. It ends with its parent.
func floorHTTP(listen, database string) error {
	db, err := sqlx.Open("postgres", database)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(floorConns)
	db.SetMaxIdleConns(floorConns)
	b := &bare{}
	for into, query := range map[**sqlx.Stmt]string{
		&b.approvals: `SELECT ` + bareApprovalColumns + ` FROM api.approval_request WHERE true AND status = 'pending' ORDER BY approval_id DESC LIMIT 50`,
		&b.approval:  `SELECT ` + bareApprovalColumns + ` FROM api.approval_request WHERE approval_id = $1 ORDER BY approval_id DESC LIMIT 1`,
		&b.decisions: `SELECT ` + bareDecisionColumns + ` FROM api.approval_decision WHERE approval_id = ANY ($1) ORDER BY seq`,
		&b.comments: `SELECT comment_id, approval_id, author_iss AS "author.iss", author_sub AS "author.sub", text, created_at
			FROM api.approval_comment WHERE approval_id = $1 ORDER BY created_at, comment_id LIMIT 1000`,
		&b.rungs:     `SELECT name FROM api.approval_rung WHERE approval_id = $1`,
		&b.incidents: `SELECT ` + bareIncidentColumns + ` FROM api.incident WHERE true AND status = 'open' ORDER BY incident_id DESC LIMIT 50`,
		&b.incident:  `SELECT ` + bareIncidentColumns + ` FROM api.incident WHERE incident_id = $1`,
		&b.entries:   `SELECT ` + bareEntryColumns + ` FROM api.log_entry WHERE true ORDER BY leaf_index DESC LIMIT 50`,
		&b.exports:   `SELECT ` + bareExportColumns + ` FROM api.export WHERE true ORDER BY export_id DESC LIMIT 50`,
	} {
		if *into, err = db.Preparex(query); err != nil { //nolint:sqlclosecheck // they live as long as the process
			return err
		}
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/approval/", b.listApprovals)
	engine.GET("/approval/:id", b.showApproval)
	engine.GET("/incidents", b.listIncidents)
	engine.GET("/incidents/:id", b.showIncident)
	engine.GET("/audit", b.listEntries)
	engine.GET("/exports/", b.listExports)
	return (&http.Server{Addr: listen, Handler: engine, ReadHeaderTimeout: time.Minute}).ListenAndServe()
}

func answer(c *gin.Context, body any, errs ...error) {
	if err := errors.Join(errs...); err != nil {
		c.String(http.StatusInternalServerError, err.Error())
		return
	}
	c.JSON(http.StatusOK, body)
}

// page is one page of a list, whose last row names the next.
func page[T any](rows []T, id func(T) int64) gin.H {
	return gin.H{"items": rows, "next_before": id(rows[len(rows)-1])}
}

func (r *bareApproval) finish() {
	r.Missing, r.Allowed, r.Assignee, r.Fallback, r.Decisions = []string{}, []string{}, r.Who.orNull(), r.FallbackAt != nil, []bareDecision{}
}

func (b *bare) listApprovals(c *gin.Context) {
	var rows []bareApproval
	err := b.approvals.SelectContext(c, &rows)
	at, ids := map[int64]*bareApproval{}, pq.Int64Array{}
	for i := range rows {
		rows[i].finish()
		at[rows[i].ID], ids = &rows[i], append(ids, rows[i].ID)
	}
	var decisions []bareDecision
	also := b.decisions.SelectContext(c, &decisions, ids)
	for _, d := range decisions {
		at[d.ApprovalID].Decisions = append(at[d.ApprovalID].Decisions, d)
	}
	answer(c, page(rows, func(r bareApproval) int64 { return r.ID }), err, also)
}

func (b *bare) showApproval(c *gin.Context) {
	detail := bareDetail{Explanation: []string{}, Comments: []bareComment{}, FiredRungs: []string{}}
	id := c.Param("id")
	err := b.approval.GetContext(c, &detail.bareApproval, id)
	detail.finish()
	errs := []error{
		err, b.decisions.SelectContext(c, &detail.Decisions, pq.StringArray{id}),
		b.comments.SelectContext(c, &detail.Comments, id), b.rungs.SelectContext(c, &detail.FiredRungs, id),
	}
	sum := sha256.Sum256([]byte(detail.bareApproval.Summary))
	detail.Summary, detail.SummarySHA256 = detail.bareApproval.Summary, hex.EncodeToString(sum[:])
	answer(c, detail, errs...)
}

func (r *bareIncident) finish() {
	r.Assignee, r.AckedBy, r.ResolvedBy, r.Allowed = r.Who.orNull(), r.Acknowledged.orNull(), r.Resolved.orNull(), []string{}
}

func (b *bare) listIncidents(c *gin.Context) {
	var rows []bareIncident
	err := b.incidents.SelectContext(c, &rows)
	for i := range rows {
		rows[i].finish()
	}
	answer(c, page(rows, func(r bareIncident) int64 { return r.ID }), err)
}

func (b *bare) showIncident(c *gin.Context) {
	var row bareIncident
	err := b.incident.GetContext(c, &row, c.Param("id"))
	row.finish()
	answer(c, row, err)
}

func (b *bare) listEntries(c *gin.Context) {
	var rows []bareEntry
	err := b.entries.SelectContext(c, &rows)
	answer(c, gin.H{"items": rows, "next": rows[len(rows)-1].Index}, err)
}

func (b *bare) listExports(c *gin.Context) {
	var rows []bareExport
	err := b.exports.SelectContext(c, &rows)
	for i := range rows {
		rows[i].Hash = *rows[i].Seal.ContentSHA256
	}
	answer(c, page(rows, func(r bareExport) int64 { return r.ID }), err)
}

// startFloorHTTP runs the floor as a process of its own, as the API is.
func (s *stack) startFloorHTTP(ctx context.Context, listen string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := s.Launch("floor-http", []string{"BENCH_FLOOR_HTTP=" + listen}, self)
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+"/", nil)
		if err != nil {
			return err
		}
		res, err := s.http.Do(req)
		if err == nil {
			res.Body.Close()
			return nil
		}
	}
	return errors.New("the floor's server does not answer")
}
