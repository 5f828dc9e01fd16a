-- What lists and polls need so that they cost the same however much is stored; the
-- tests of plans (TestNoListReadsATableWhole, TestNoPollReadsATableWhole) say where
-- one is missing.
-- Locking: each index keeps writers of its table waiting while it is built, some
-- seconds for each million rows; agent_run, agent_action and incident are read whole
-- once.

-- +migrate Up

-- Requests: a filter, or an order, each.
CREATE INDEX approval_request_by_kind ON finobs.approval_request (kind, approval_id DESC);
CREATE INDEX approval_request_by_risk ON finobs.approval_request (risk_tier, approval_id DESC);
CREATE INDEX approval_request_by_expiry ON finobs.approval_request (expires_at, approval_id);
CREATE INDEX approval_request_by_time ON finobs.approval_request (created_at);
CREATE INDEX approval_request_waiting ON finobs.approval_request (created_at) WHERE status = 'pending' AND NOT is_simulation;
CREATE INDEX approval_request_escalated ON finobs.approval_request (approval_id DESC) WHERE escalation_level > 0;
CREATE INDEX approval_request_simulated ON finobs.approval_request (approval_id DESC) WHERE is_simulation;
CREATE INDEX delegation_in_force ON finobs.delegation (ends_at) WHERE revoked_at IS NULL;
CREATE INDEX delegation_by_change ON finobs.delegation (greatest(created_at, revoked_at));
CREATE INDEX delegation_of_request ON finobs.delegation (approval_id, delegation_id DESC) WHERE approval_id IS NOT NULL;

-- The ledger. Few different values each, so that they stay small; what is common is
-- found by walking the log.
CREATE INDEX entry_by_type ON ledger.entry (type);
CREATE INDEX entry_by_action ON ledger.entry (action);
CREATE INDEX entry_by_outcome ON ledger.entry (outcome);
CREATE INDEX entry_by_desk ON ledger.entry (desk);
CREATE INDEX entry_of_simulations ON ledger.entry (entry_id) WHERE is_simulation;
CREATE INDEX entry_of_overrides ON ledger.entry (recorded_at) WHERE override_type IS NOT NULL;
-- As in 0021, but by the index: a join with the one row of ledger.tree was planned as
-- a walk through all entries. The bounds of xid say nothing more, but have the planner
-- expect few rows.
CREATE OR REPLACE VIEW api.log_lag AS
SELECT count(*) AS waiting, min(recorded_at) AS oldest_at
FROM (SELECT e.recorded_at FROM ledger.entry e
      WHERE (e.xid, e.entry_id) > ((SELECT last_xid FROM ledger.tree), (SELECT last_entry FROM ledger.tree))
          AND e.xid BETWEEN (SELECT last_xid FROM ledger.tree) AND '18446744073709551615'
      ORDER BY e.xid, e.entry_id LIMIT 100000) AS w;
-- How common the entries of the compliance log are.
CREATE STATISTICS ledger.entry_area ON (split_part(type, '.', 1)) FROM ledger.entry;

-- Incidents, and the words that they are searched for, each once: incidents are
-- changed far more often than their words.
CREATE INDEX incident_of_demo ON finobs.incident (incident_id DESC) WHERE origin = 'demo';
CREATE INDEX incident_by_opening ON finobs.incident (opened_at);
CREATE INDEX incident_by_subject ON finobs.incident (subject_kind, subject_id, incident_id DESC) WHERE subject_id <> '';
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA finobs;
CREATE TABLE finobs.incident_words (
    incident_id bigint PRIMARY KEY CONSTRAINT words_are_of_an_incident REFERENCES finobs.incident,
    words       text NOT NULL -- title, description, system and subject, in small letters, a line each
);
INSERT INTO finobs.incident_words
SELECT incident_id, lower(title || E'\n' || description || E'\n' || system || E'\n' || subject_id) FROM finobs.incident;
CREATE INDEX incident_words_by_trigram ON finobs.incident_words USING gin (words finobs.gin_trgm_ops);
GRANT SELECT, INSERT, UPDATE ON finobs.incident_words TO finobs_worker;

-- +migrate StatementBegin
CREATE FUNCTION finobs.keep_incident_words() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO finobs.incident_words (incident_id, words)
    VALUES (NEW.incident_id, lower(NEW.title || E'\n' || NEW.description || E'\n' || NEW.system || E'\n' || NEW.subject_id))
    ON CONFLICT (incident_id) DO UPDATE SET words = excluded.words;
    RETURN NULL;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER incident_has_words AFTER INSERT ON finobs.incident FOR EACH ROW EXECUTE FUNCTION finobs.keep_incident_words();
CREATE TRIGGER incident_changes_words AFTER UPDATE OF title, description, system, subject_id ON finobs.incident FOR EACH ROW
    WHEN ((OLD.title, OLD.description, OLD.system, OLD.subject_id) IS DISTINCT FROM (NEW.title, NEW.description, NEW.system, NEW.subject_id))
    EXECUTE FUNCTION finobs.keep_incident_words();
CREATE VIEW api.incident_words AS SELECT incident_id, words FROM finobs.incident_words;
GRANT SELECT ON api.incident_words TO finobs_api;

-- Other lists.
CREATE INDEX event_by_state ON finobs.event (state, event_id DESC);
CREATE INDEX event_of_demo ON finobs.event (event_id DESC) WHERE origin = 'demo';
CREATE INDEX trade_break_of_demo ON finobs.trade_break (break_id DESC) WHERE origin = 'demo';
CREATE INDEX notification_by_time ON finobs.notification (created_at DESC, notification_id);
CREATE INDEX export_by_destination ON finobs.export (destination, export_id DESC);
CREATE INDEX export_by_format ON finobs.export (format, export_id DESC);
CREATE INDEX export_by_requester ON finobs.export (requester_sub, export_id DESC);
CREATE INDEX export_by_time ON finobs.export (created_at);
CREATE INDEX delivery_to_look_after ON finobs.export_delivery (export_id, destination, attempt) WHERE status IN ('failed', 'unknown');
CREATE INDEX agent_stop_in_order ON finobs.agent_stop ((lifted_at IS NULL) DESC, stop_id DESC);
CREATE INDEX agent_exchange_by_model ON finobs.agent_exchange (provider, model, run_id DESC, ordinal DESC);
CREATE INDEX agent_run_by_time ON finobs.agent_run (started_at);
CREATE INDEX agent_run_simulated ON finobs.agent_run (run_id DESC) WHERE is_simulation;
CREATE INDEX agent_action_by_time ON finobs.agent_action (planned_at);
CREATE INDEX agent_action_simulated ON finobs.agent_action (action_id DESC) WHERE is_simulation;
CREATE INDEX agent_action_by_desk ON finobs.agent_action (desk, action_id DESC);
CREATE INDEX agent_verdict_by_time ON finobs.agent_verdict (created_at);

-- What an agent does is seen by the desk of the incident that it is about, which no
-- worker may change, and else by its own.
ALTER TABLE finobs.agent_run ADD COLUMN seen_by text NOT NULL DEFAULT '';
UPDATE finobs.agent_run AS r SET seen_by = coalesce((SELECT i.desk FROM finobs.incident AS i WHERE i.incident_id = r.incident_id), r.desk);
CREATE INDEX agent_run_by_sight ON finobs.agent_run (seen_by, run_id DESC);
ALTER TABLE finobs.agent_action ADD COLUMN seen_by text NOT NULL DEFAULT '';
UPDATE finobs.agent_action AS a SET seen_by = coalesce((SELECT i.desk FROM finobs.incident AS i WHERE i.incident_id = a.incident_id), a.desk);
CREATE INDEX agent_action_by_sight ON finobs.agent_action (seen_by, action_id DESC);
CREATE OR REPLACE VIEW api.agent_run AS
SELECT run_id, approval_id, kind, incident_id, parameters, is_simulation, requester_iss, requester_sub, desk, workflow_id, request_id, trace_id,
       status, failure, started_at, ended_at, question, encode(evidence_sha256, 'hex') AS evidence_sha256, encode(output_sha256, 'hex') AS output_sha256,
       agent_version, fallback, category, severity, confidence, inconclusive, problems, suspicions, seen_by
FROM finobs.agent_run;
CREATE OR REPLACE VIEW api.agent_action AS
SELECT a.action_id, a.run_id, a.ordinal, a.incident_id, a.type, a.type_version, a.connector, a.target_kind, a.target_id, a.target_version,
       a.plan, a.plan_digest, a.risk_tier, a.is_simulation, a.requester_iss, a.requester_sub, a.desk, a.reason, a.planned_at, a.status,
       a.status_reason, a.recovery, a.recovery_reason, a.leased, a.idem_key, a.sent_at, a.effect_id, a.began_at, a.ended_at, a.resolved_iss,
       a.resolved_sub, r.status AS approval_status, r.status_reason AS approval_reason, a.asked, a.seen_by
FROM finobs.agent_action a LEFT JOIN finobs.approval_request r ON r.approval_id = a.action_id;

-- Runs of detectors that found nothing are no part of the record; those of the last
-- days are kept for people.
GRANT DELETE ON finobs.detector_run TO finobs_worker;

-- +migrate Down
REVOKE DELETE ON finobs.detector_run FROM finobs_worker;
DROP VIEW api.agent_action, api.agent_run;
CREATE VIEW api.agent_run AS
SELECT run_id, approval_id, kind, incident_id, parameters, is_simulation, requester_iss, requester_sub, desk, workflow_id, request_id, trace_id,
       status, failure, started_at, ended_at, question, encode(evidence_sha256, 'hex') AS evidence_sha256, encode(output_sha256, 'hex') AS output_sha256,
       agent_version, fallback, category, severity, confidence, inconclusive, problems, suspicions
FROM finobs.agent_run;
CREATE VIEW api.agent_action AS
SELECT a.action_id, a.run_id, a.ordinal, a.incident_id, a.type, a.type_version, a.connector, a.target_kind, a.target_id, a.target_version,
       a.plan, a.plan_digest, a.risk_tier, a.is_simulation, a.requester_iss, a.requester_sub, a.desk, a.reason, a.planned_at, a.status,
       a.status_reason, a.recovery, a.recovery_reason, a.leased, a.idem_key, a.sent_at, a.effect_id, a.began_at, a.ended_at, a.resolved_iss,
       a.resolved_sub, r.status AS approval_status, r.status_reason AS approval_reason, a.asked
FROM finobs.agent_action a LEFT JOIN finobs.approval_request r ON r.approval_id = a.action_id;
GRANT SELECT ON api.agent_run, api.agent_action TO finobs_api;
ALTER TABLE finobs.agent_action DROP COLUMN seen_by; -- with its index
ALTER TABLE finobs.agent_run DROP COLUMN seen_by;
DROP INDEX finobs.agent_verdict_by_time, finobs.agent_action_by_desk, finobs.agent_action_simulated, finobs.agent_action_by_time,
    finobs.agent_run_simulated, finobs.agent_run_by_time, finobs.agent_exchange_by_model, finobs.agent_stop_in_order, finobs.delivery_to_look_after,
    finobs.export_by_time, finobs.export_by_requester, finobs.export_by_format, finobs.export_by_destination, finobs.notification_by_time,
    finobs.trade_break_of_demo, finobs.event_of_demo, finobs.event_by_state;
DROP VIEW api.incident_words;
DROP TRIGGER incident_changes_words ON finobs.incident;
DROP TRIGGER incident_has_words ON finobs.incident;
DROP FUNCTION finobs.keep_incident_words;
DROP TABLE finobs.incident_words;
DROP EXTENSION IF EXISTS pg_trgm;
DROP INDEX finobs.incident_by_subject, finobs.incident_by_opening, finobs.incident_of_demo;
DROP STATISTICS ledger.entry_area;
CREATE OR REPLACE VIEW api.log_lag AS
SELECT count(*) AS waiting, min(recorded_at) AS oldest_at
FROM (SELECT e.recorded_at FROM ledger.entry e, ledger.tree t WHERE (e.xid, e.entry_id) > (t.last_xid, t.last_entry)
      ORDER BY e.xid, e.entry_id LIMIT 100000) AS w;
DROP INDEX ledger.entry_of_overrides, ledger.entry_of_simulations, ledger.entry_by_desk, ledger.entry_by_outcome, ledger.entry_by_action, ledger.entry_by_type;
DROP INDEX finobs.delegation_of_request, finobs.delegation_by_change, finobs.delegation_in_force, finobs.approval_request_simulated, finobs.approval_request_escalated, finobs.approval_request_waiting,
    finobs.approval_request_by_time, finobs.approval_request_by_expiry, finobs.approval_request_by_risk, finobs.approval_request_by_kind;
