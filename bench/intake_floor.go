package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
)

// floorIntake is the program that serves the floor: a gin handler that inserts each
// body as it is, in a transaction of its own, and knows nobody. It ends with its
// parent.
func floorIntake(listen, database string) error {
	db, err := sql.Open("postgres", database)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(20)
	insert, err := db.PrepareContext(context.Background(), "INSERT INTO bench.body (body) VALUES ($1)") //nolint:sqlclosecheck // it lives as long as the process
	if err != nil {
		return err
	}
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.POST("/", func(c *gin.Context) {
		body, err := io.ReadAll(c.Request.Body)
		if err == nil {
			_, err = insert.ExecContext(c, string(body))
		}
		if err != nil {
			c.String(http.StatusInternalServerError, err.Error())
			return
		}
		c.JSON(http.StatusOK, gin.H{"status": "recorded"})
	})
	return (&http.Server{Addr: listen, Handler: engine, ReadHeaderTimeout: time.Minute}).ListenAndServe()
}

// startFloorIntake runs the floor as a process of its own.
func (s *stack) startFloorIntake(ctx context.Context, listen string) error {
	_, err := s.admin.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS bench; CREATE TABLE bench.body (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
		GRANT USAGE ON SCHEMA bench TO finobs_worker; GRANT INSERT ON bench.body TO finobs_worker`)
	if err != nil {
		return fmt.Errorf("making the floor's table: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p, err := s.Launch("floor-intake", []string{"BENCH_FLOOR_INTAKE=" + listen}, self)
	if err != nil {
		return err
	}
	s.processes = append(s.processes, p)
	probe := &sending{s: s, url: "http://" + listen + "/"}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if probe.send(ctx, strings.Repeat(" ", 10)) == nil {
			return nil
		}
	}
	return errors.New("the floor's server does not answer")
}
