package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jmoiron/sqlx"
)

// bareRow is what the floor reads of a request: as many columns as the API's view
// shows, scanned by name.
type bareRow struct {
	ID           int64      `db:"approval_id" json:"approval_request_id"`
	Kind         string     `db:"kind" json:"kind"`
	Action       []byte     `db:"action" json:"-"`
	ActionDigest string     `db:"action_digest" json:"action_digest"`
	PolicyID     string     `db:"policy_id" json:"policy_id"`
	Policy       []byte     `db:"policy" json:"-"`
	PolicyDigest string     `db:"policy_digest" json:"policy_digest"`
	Iss          string     `db:"requester_iss" json:"iss"`
	Sub          string     `db:"requester_sub" json:"sub"`
	Desk         string     `db:"desk" json:"desk"`
	Simulation   bool       `db:"is_simulation" json:"is_simulation"`
	Reason       string     `db:"reason" json:"reason"`
	Status       string     `db:"status" json:"status"`
	StatusReason string     `db:"status_reason" json:"status_reason"`
	Created      time.Time  `db:"created_at" json:"created_at"`
	Expires      time.Time  `db:"expires_at" json:"expires_at"`
	Closed       *time.Time `db:"closed_at" json:"closed_at"`
	WorkflowID   string     `db:"workflow_id" json:"workflow_id"`
	TraceID      string     `db:"trace_id" json:"trace_id"`
	Risk         string     `db:"risk_tier" json:"risk_tier"`
	Summary      string     `db:"summary" json:"-"`
}

const bareColumns = `approval_id, kind, action, action_digest, policy_id, policy, policy_digest, requester_iss, requester_sub, desk, is_simulation,
	reason, status, status_reason, created_at, expires_at, closed_at, workflow_id, trace_id, risk_tier, summary`

// floorHTTP is the program that serves the floor: a gin handler that runs the query
// and writes the rows as JSON, for anybody. It ends with its parent.
func floorHTTP(listen, database string) error {
	db, err := sqlx.Open("postgres", database)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	list, err := db.Preparex(`SELECT ` + bareColumns + ` FROM api.approval_request WHERE status = 'pending' ORDER BY approval_id DESC LIMIT 50`) //nolint:sqlclosecheck // it lives as long as the process
	if err != nil {
		return err
	}
	one, err := db.Preparex(`SELECT ` + bareColumns + ` FROM api.approval_request WHERE approval_id = $1`) //nolint:sqlclosecheck // dito
	if err != nil {
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.GET("/approval/", func(c *gin.Context) {
		rows := []bareRow{}
		if err := list.SelectContext(c, &rows); err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
		c.JSON(http.StatusOK, gin.H{"items": rows})
	})
	engine.GET("/approval/:id", func(c *gin.Context) {
		var row bareRow
		if err := one.GetContext(c, &row, c.Param("id")); err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
		c.JSON(http.StatusOK, row)
	})
	return (&http.Server{Addr: listen, Handler: engine, ReadHeaderTimeout: time.Minute}).ListenAndServe()
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
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+"/approval/", nil)
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

// insertCopies brings the pending requests to a number, by copies of a real one.
func (s *stack) insertCopies(ctx context.Context, of int64, n int) error {
	_, err := s.admin.ExecContext(ctx, `
		INSERT INTO finobs.approval_request (approval_id, workflow_id, first_run_id, kind, action, action_digest, policy_id, policy, policy_digest,
			requester_iss, requester_sub, desk, is_simulation, reason, command, request_id, trace_id, created_at, expires_at,
			risk_tier, summary, target_ids, escalation_level)
		SELECT id, 'bulk-' || id, 'bulk', kind, action, 'sha256:' || encode(sha256(convert_to('bulk' || id, 'UTF8')), 'hex'), policy_id, policy, policy_digest,
			requester_iss, requester_sub, desk, is_simulation, reason, command, request_id, trace_id,
			created_at, expires_at + id % 600 * interval '1 second', risk_tier, summary, target_ids, 0
		FROM (SELECT nextval('finobs.approval_id') AS id, r.* FROM finobs.approval_request r, generate_series(1, $2) WHERE approval_id = $1) copies`, of, n)
	if err != nil {
		return fmt.Errorf("copying requests: %w", err)
	}
	_, err = s.admin.ExecContext(ctx, "VACUUM ANALYZE finobs.approval_request") //nolint:misspell // it is SQL
	return err
}
