-- Schedules of exports and their slots. A schedule changes through gated actions
-- only; pausing, resuming and ending it are acts of people.
-- Locking: new tables; the constraints on finobs.export are checked for new rows
-- (no row before had a schedule).
-- Rollback: Down leaves the exports that schedules made, and forgets the schedules.

-- +migrate Up
CREATE TABLE finobs.export_schedule (
    schedule_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL CONSTRAINT schedule_has_a_name CHECK (name ~ '^[a-z]'), -- never a number: see approval targets
    version        bigint NOT NULL CONSTRAINT schedule_version_is_positive CHECK (version > 0), -- of its grants
    state          text NOT NULL DEFAULT 'active' CONSTRAINT schedule_state_is_known CHECK (state IN ('active', 'paused', 'deleted')),
    state_reason   text NOT NULL DEFAULT '',
    approval_id    bigint NOT NULL CONSTRAINT schedule_is_once_per_approval UNIQUE
        CONSTRAINT schedule_is_approved REFERENCES finobs.approval_request, -- the grant in force
    action_digest  text NOT NULL,
    dataset        text NOT NULL,
    dataset_version text NOT NULL,
    format         text NOT NULL,
    compression    text NOT NULL,
    destination    text NOT NULL,
    destination_digest text NOT NULL,
    filters        jsonb NOT NULL,
    cron           text NOT NULL,
    zone           text NOT NULL,
    rows_in        text NOT NULL CONSTRAINT schedule_window_is_known CHECK (rows_in IN ('none', 'since_previous')),
    overlap        text NOT NULL CONSTRAINT schedule_overlap_is_known CHECK (overlap IN ('skip', 'buffer_one', 'allow_all')),
    catch_up_seconds     bigint NOT NULL CONSTRAINT schedule_catch_up_is_positive CHECK (catch_up_seconds > 0),
    max_lateness_seconds bigint NOT NULL CONSTRAINT schedule_lateness_is_positive CHECK (max_lateness_seconds > 0),
    expires_at     timestamptz NOT NULL,
    requester_iss  text NOT NULL,
    requester_sub  text NOT NULL,
    desk           text NOT NULL,
    is_simulation  boolean NOT NULL,
    created_at     timestamptz NOT NULL,
    granted_at     timestamptz NOT NULL, -- since when the grant in force is
    paused_at      timestamptz,
    settled_until  timestamptz NOT NULL, -- what became of each slot up to here is on record
    CONSTRAINT schedule_that_is_paused_says_since_when CHECK ((state = 'paused') = (paused_at IS NOT NULL))
);
CREATE UNIQUE INDEX schedule_name_is_taken_once ON finobs.export_schedule (name) WHERE state <> 'deleted';

-- +migrate StatementBegin
CREATE FUNCTION finobs.guard_schedule() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.state = 'deleted' AND to_jsonb(NEW) - 'settled_until' IS DISTINCT FROM to_jsonb(OLD) - 'settled_until' THEN
        RAISE EXCEPTION 'schedule % has ended', OLD.schedule_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ended_schedule_is_final';
    END IF;
    RETURN NEW;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER ended_schedule_is_final BEFORE UPDATE ON finobs.export_schedule
    FOR EACH ROW EXECUTE FUNCTION finobs.guard_schedule();

-- One row for each time at which a schedule fell due, once it is known what
-- became of it.
CREATE TABLE finobs.export_slot (
    schedule_id  bigint NOT NULL CONSTRAINT slot_is_of_a_schedule REFERENCES finobs.export_schedule,
    slot         timestamptz NOT NULL,
    version      bigint NOT NULL, -- of the schedule
    status       text NOT NULL CONSTRAINT slot_status_is_known CHECK (status IN ('waiting', 'running', 'done', 'failed', 'skipped')),
    reason       text NOT NULL DEFAULT '',
    origin       text NOT NULL CONSTRAINT slot_origin_is_known CHECK (origin IN ('fired', 'triggered', 'backfilled')),
    export_id    bigint CONSTRAINT slot_has_an_export_of_its_own UNIQUE CONSTRAINT slot_export_exists REFERENCES finobs.export,
    workflow_id  text NOT NULL,
    first_run_id text NOT NULL, -- '': no workflow came for it
    started_at   timestamptz,
    ended_at     timestamptz,
    PRIMARY KEY (schedule_id, slot),
    CONSTRAINT slot_that_runs_has_an_export CHECK ((status IN ('running', 'done', 'failed')) = (export_id IS NOT NULL)),
    CONSTRAINT slot_that_ended_says_when CHECK ((status IN ('done', 'failed', 'skipped')) = (ended_at IS NOT NULL)),
    CONSTRAINT slot_that_was_skipped_says_why CHECK (status <> 'skipped' OR reason <> '')
);
CREATE INDEX export_slot_that_is_open ON finobs.export_slot (schedule_id) WHERE status IN ('waiting', 'running');

-- A slot that was exported stays so: it is never exported again.
-- +migrate StatementBegin
CREATE FUNCTION finobs.guard_slot() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.export_id IS NOT NULL AND NEW.export_id IS DISTINCT FROM OLD.export_id OR OLD.status IN ('done', 'failed') THEN
        RAISE EXCEPTION 'slot % of schedule % has its export', OLD.slot, OLD.schedule_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'slot_is_exported_once';
    END IF;
    RETURN NEW;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER slot_is_exported_once BEFORE UPDATE ON finobs.export_slot
    FOR EACH ROW EXECUTE FUNCTION finobs.guard_slot();

ALTER TABLE finobs.export ADD CONSTRAINT export_is_of_a_schedule FOREIGN KEY (schedule_id) REFERENCES finobs.export_schedule;
CREATE UNIQUE INDEX export_is_once_per_slot ON finobs.export (schedule_id, slot) WHERE schedule_id IS NOT NULL;

GRANT SELECT, INSERT ON finobs.export_schedule, finobs.export_slot TO finobs_worker;
GRANT UPDATE (version, state, state_reason, approval_id, action_digest, name, dataset, dataset_version, format, compression, destination,
    destination_digest, filters, cron, zone, rows_in, overlap, catch_up_seconds, max_lateness_seconds, expires_at, requester_iss, requester_sub,
    desk, is_simulation, granted_at, paused_at, settled_until) ON finobs.export_schedule TO finobs_worker;
GRANT UPDATE (version, status, reason, origin, export_id, workflow_id, first_run_id, started_at, ended_at) ON finobs.export_slot TO finobs_worker;

CREATE VIEW api.export_schedule AS
SELECT schedule_id, name, version, state, state_reason, approval_id, action_digest, dataset, dataset_version, format, compression, destination,
       destination_digest, filters, cron, zone, rows_in, overlap, catch_up_seconds, max_lateness_seconds, expires_at, requester_iss,
       requester_sub, desk, is_simulation, created_at, granted_at, paused_at, settled_until
FROM finobs.export_schedule;
CREATE VIEW api.export_slot AS
SELECT schedule_id, slot, version, status, reason, origin, export_id, workflow_id, first_run_id, started_at, ended_at FROM finobs.export_slot;
GRANT SELECT ON api.export_schedule, api.export_slot TO finobs_api;

-- +migrate Down
DROP VIEW api.export_slot;
DROP VIEW api.export_schedule;
DROP INDEX finobs.export_is_once_per_slot;
ALTER TABLE finobs.export DROP CONSTRAINT export_is_of_a_schedule;
DROP TABLE finobs.export_slot;
DROP FUNCTION finobs.guard_slot;
DROP TABLE finobs.export_schedule;
DROP FUNCTION finobs.guard_schedule;
