-- What is looked for every few seconds is found without a walk through what is over:
-- plans that nobody asked approval of, runs and exports that go on, and actions of
-- which nobody knows what became.
-- Locking: agent_action is locked while its rows are marked, which are few.

-- +migrate Up
ALTER TABLE finobs.agent_action ADD COLUMN asked boolean NOT NULL DEFAULT false; -- a request for approval has its id
UPDATE finobs.agent_action SET asked = true WHERE EXISTS (SELECT FROM finobs.approval_request WHERE approval_id = action_id);
GRANT UPDATE (asked) ON finobs.agent_action TO finobs_worker;
CREATE INDEX agent_action_to_ask ON finobs.agent_action (action_id) WHERE status = 'planned' AND NOT asked;
CREATE INDEX agent_action_to_end ON finobs.agent_action (action_id) WHERE leased AND status <> 'unknown' AND recovery <> 'compensation_unknown';
CREATE INDEX agent_action_to_find_out ON finobs.agent_action (action_id) WHERE status = 'unknown' OR recovery = 'compensation_unknown';
CREATE INDEX agent_run_to_end ON finobs.agent_run (approval_id) WHERE status = 'running';
CREATE INDEX export_to_end ON finobs.export (approval_id) WHERE status = 'intended' AND schedule_id IS NULL;
CREATE OR REPLACE VIEW api.agent_action AS
SELECT a.action_id, a.run_id, a.ordinal, a.incident_id, a.type, a.type_version, a.connector, a.target_kind, a.target_id, a.target_version,
       a.plan, a.plan_digest, a.risk_tier, a.is_simulation, a.requester_iss, a.requester_sub, a.desk, a.reason, a.planned_at, a.status,
       a.status_reason, a.recovery, a.recovery_reason, a.leased, a.idem_key, a.sent_at, a.effect_id, a.began_at, a.ended_at, a.resolved_iss,
       a.resolved_sub, r.status AS approval_status, r.status_reason AS approval_reason, a.asked
FROM finobs.agent_action a LEFT JOIN finobs.approval_request r ON r.approval_id = a.action_id;

-- +migrate Down
DROP VIEW api.agent_action;
CREATE VIEW api.agent_action AS
SELECT a.action_id, a.run_id, a.ordinal, a.incident_id, a.type, a.type_version, a.connector, a.target_kind, a.target_id, a.target_version,
       a.plan, a.plan_digest, a.risk_tier, a.is_simulation, a.requester_iss, a.requester_sub, a.desk, a.reason, a.planned_at, a.status,
       a.status_reason, a.recovery, a.recovery_reason, a.leased, a.idem_key, a.sent_at, a.effect_id, a.began_at, a.ended_at, a.resolved_iss,
       a.resolved_sub, r.status AS approval_status, r.status_reason AS approval_reason
FROM finobs.agent_action a LEFT JOIN finobs.approval_request r ON r.approval_id = a.action_id;
GRANT SELECT ON api.agent_action TO finobs_api;
DROP INDEX finobs.export_to_end;
DROP INDEX finobs.agent_run_to_end;
DROP INDEX finobs.agent_action_to_find_out;
DROP INDEX finobs.agent_action_to_end;
ALTER TABLE finobs.agent_action DROP COLUMN asked;
