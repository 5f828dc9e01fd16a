package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"go.temporal.io/sdk/client"
)

// probeTimeout bounds one check of a dependency.
const probeTimeout = 2 * time.Second

// healthz says that the process answers.
func (s *Server) healthz(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) }

// readyz says whether the process can do its work: each dependency is asked now. With
// ?verbose it also says how the exporters of telemetry are doing, which readiness does
// not depend on.
func (s *Server) readyz(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), probeTimeout)
	defer cancel()
	checks := map[string]string{"database": "ok", "temporal": "ok", "policies": "ok"}
	status, overall := http.StatusOK, "ok"
	fail := func(name string) {
		checks[name], status, overall = "unavailable", http.StatusServiceUnavailable, "unavailable"
	}
	if err := s.Reader.Ping(ctx); err != nil {
		fail("database")
	}
	if _, err := s.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		fail("temporal")
	}
	if _, err := s.policies.inForce(ctx); err != nil {
		fail("policies")
	}
	if log, err := s.Reader.Sequencer(ctx); err == nil && log.Refused != "" {
		fail("log")
		checks["log"] = log.Refused
	}
	answer := gin.H{"status": overall, "checks": checks}
	if _, verbose := c.GetQuery("verbose"); verbose && s.Exporters != nil {
		answer["exporters"] = s.Exporters()
	}
	c.JSON(status, answer)
}
