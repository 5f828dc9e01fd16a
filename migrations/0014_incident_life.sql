-- The life of an incident: who has it, until when, what happened in it, which
-- rungs of its ladder have fired; and windows of maintenance, in which nobody is
-- paged. Notifications may be about an incident instead of a request.
-- Locking: the ALTERs add columns with constant defaults; one UPDATE then gives
-- the rows that are there their priority and their times.

-- +migrate Up
ALTER TABLE finobs.incident
    ADD COLUMN priority         text NOT NULL DEFAULT 'p4' CONSTRAINT incident_priority_is_known CHECK (priority IN ('p1', 'p2', 'p3', 'p4')),
    ADD COLUMN severity_set     boolean NOT NULL DEFAULT false, -- by a person: no machine changes it again
    ADD COLUMN priority_set     boolean NOT NULL DEFAULT false, -- by a person: it does not follow the severity any more
    ADD COLUMN system           text NOT NULL DEFAULT '',       -- where it is wrong, such as the name of a gateway
    ADD COLUMN owner            text NOT NULL DEFAULT '',       -- the queue that has to deal with it
    ADD COLUMN assignee_iss     text NOT NULL DEFAULT '',
    ADD COLUMN assignee_sub     text NOT NULL DEFAULT '',
    ADD COLUMN parent_id        bigint CONSTRAINT incident_parent_exists REFERENCES finobs.incident
        CONSTRAINT incident_is_not_its_own_parent CHECK (parent_id <> incident_id),
    ADD COLUMN merged_into      bigint CONSTRAINT incident_survivor_exists REFERENCES finobs.incident
        CONSTRAINT incident_is_not_merged_into_itself CHECK (merged_into <> incident_id),
    ADD COLUMN transaction_id   bigint CONSTRAINT incident_is_about_a_transaction REFERENCES finobs.transaction,
    ADD COLUMN occurrences      bigint NOT NULL DEFAULT 1 CONSTRAINT incident_occurred CHECK (occurrences > 0),
    ADD COLUMN last_seen_at     timestamptz, -- when an occurrence was recorded last
    ADD COLUMN firing_at        timestamptz, -- the latest moment at which the condition held, by its source
    ADD COLUMN ended_at         timestamptz, -- the latest moment at which it is known to have ended, by its source
    ADD COLUMN reopened         integer NOT NULL DEFAULT 0,
    ADD COLUMN began_at         timestamptz, -- when it was opened, or reopened last
    ADD COLUMN acknowledged_at  timestamptz,
    ADD COLUMN acknowledged_iss text NOT NULL DEFAULT '',
    ADD COLUMN acknowledged_sub text NOT NULL DEFAULT '',
    ADD COLUMN resolved_at      timestamptz,
    ADD COLUMN resolved_iss     text NOT NULL DEFAULT '',       -- finobs, with the subject auto: its condition ended
    ADD COLUMN resolved_sub     text NOT NULL DEFAULT '',
    ADD COLUMN resolution       text NOT NULL DEFAULT '',
    ADD COLUMN closed_at        timestamptz,
    ADD COLUMN ack_due_at       timestamptz, -- null: the desk file names no such time
    ADD COLUMN resolve_due_at   timestamptz,
    ADD COLUMN escalation_level integer NOT NULL DEFAULT 0 CONSTRAINT incident_level_is_not_negative CHECK (escalation_level >= 0),
    ADD COLUMN ladder_run       integer NOT NULL DEFAULT 1,     -- counts how often the ladder began
    ADD COLUMN ladder_from      timestamptz,                    -- when it began last; its rungs count from then
    ADD COLUMN suppressed_until timestamptz,                    -- nobody is paged before
    ADD COLUMN nudge_at         timestamptz,                    -- its life is to look at it, from then on
    ADD COLUMN life_started_at  timestamptz,                    -- when a life looked at it first
    ADD COLUMN life_run_id      text NOT NULL DEFAULT '',       -- first run of the life that looked last
    ADD CONSTRAINT incident_merged_is_closed CHECK (merged_into IS NULL OR status = 'closed');
UPDATE finobs.incident SET
    priority = CASE severity WHEN 'critical' THEN 'p1' WHEN 'high' THEN 'p2' WHEN 'medium' THEN 'p3' ELSE 'p4' END,
    last_seen_at = updated_at, firing_at = opened_at, began_at = opened_at, ladder_from = clock_timestamp(), nudge_at = clock_timestamp();
ALTER TABLE finobs.incident
    ALTER COLUMN priority DROP DEFAULT, ALTER COLUMN last_seen_at SET NOT NULL, ALTER COLUMN firing_at SET NOT NULL,
    ALTER COLUMN began_at SET NOT NULL, ALTER COLUMN ladder_from SET NOT NULL;

CREATE INDEX incident_by_key ON finobs.incident (dedup_key, incident_id DESC);
CREATE INDEX incident_by_severity ON finobs.incident (severity, incident_id DESC);
CREATE INDEX incident_by_desk ON finobs.incident (desk, incident_id DESC);
CREATE INDEX incident_by_priority ON finobs.incident (priority, incident_id DESC);
CREATE INDEX incident_by_system ON finobs.incident (system, incident_id DESC) WHERE system <> '';
CREATE INDEX incident_by_owner ON finobs.incident (owner, incident_id DESC) WHERE owner <> '';
CREATE INDEX incident_by_assignee ON finobs.incident (assignee_sub, incident_id DESC) WHERE assignee_sub <> '';
CREATE INDEX incident_by_parent ON finobs.incident (parent_id, incident_id DESC) WHERE parent_id IS NOT NULL;
CREATE INDEX incident_by_survivor ON finobs.incident (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX incident_by_transaction ON finobs.incident (transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX incident_to_acknowledge ON finobs.incident (ack_due_at) WHERE status = 'open';
CREATE INDEX incident_to_resolve ON finobs.incident (resolve_due_at) WHERE status IN ('open', 'acknowledged');
CREATE INDEX incident_suppressed ON finobs.incident (suppressed_until) WHERE suppressed_until IS NOT NULL AND status IN ('open', 'acknowledged');
CREATE INDEX incident_to_nudge ON finobs.incident (nudge_at) WHERE nudge_at IS NOT NULL;
CREATE INDEX incident_alive ON finobs.incident (incident_id) WHERE status <> 'closed';

-- Statuses move along incident.Status.CanBecome, whoever writes.
-- +migrate StatementBegin
CREATE FUNCTION finobs.guard_incident_status() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.merged_into IS NOT NULL AND NEW.merged_into IS NULL THEN
        RAISE EXCEPTION 'incident % was merged, which is final', OLD.incident_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'incident_merge_is_final';
    END IF;
    IF OLD.status = NEW.status
        OR (OLD.status = 'open' AND NEW.status IN ('acknowledged', 'resolved'))
        OR (OLD.status = 'acknowledged' AND NEW.status IN ('open', 'resolved'))
        OR (OLD.status = 'resolved' AND NEW.status IN ('open', 'closed'))
        OR (OLD.status = 'closed' AND NEW.status = 'open')
        OR (NEW.status = 'closed' AND NEW.merged_into IS NOT NULL)
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'incident % cannot go from % to %', OLD.incident_id, OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'incident_status_moves_as_it_may';
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER incident_status_moves_as_it_may BEFORE UPDATE ON finobs.incident
    FOR EACH ROW EXECUTE FUNCTION finobs.guard_incident_status();

-- A round is the time from opening, or reopening, to resolution. Figures are of
-- rounds: a second one does not hide how the first went.
CREATE TABLE finobs.incident_round (
    incident_id     bigint NOT NULL CONSTRAINT round_is_of_an_incident REFERENCES finobs.incident,
    round           integer NOT NULL, -- 0, and one more for each reopening
    began_at        timestamptz NOT NULL,
    ack_due_at      timestamptz,
    resolve_due_at  timestamptz,
    acknowledged_at timestamptz,      -- first in the round
    resolved_at     timestamptz,
    PRIMARY KEY (incident_id, round)
);
CREATE INDEX incident_round_by_begin ON finobs.incident_round (began_at);
INSERT INTO finobs.incident_round (incident_id, round, began_at) SELECT incident_id, 0, opened_at FROM finobs.incident;

-- Every dedup key that occurrences named: the mutex of its occurrences, and the
-- memory of an end that came before what it ends.
CREATE TABLE finobs.incident_key (
    dedup_key text PRIMARY KEY,
    ended_at  timestamptz
);

-- What was reported, once per key. An end of nothing has no incident.
CREATE TABLE finobs.incident_occurrence (
    occurrence_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id    bigint CONSTRAINT occurrence_is_of_an_incident REFERENCES finobs.incident,
    dedup_key      text NOT NULL,
    occurrence_key text NOT NULL CONSTRAINT occurrence_has_a_key CHECK (occurrence_key <> ''),
    firing         boolean NOT NULL,
    at             timestamptz NOT NULL, -- by its source
    summary        text NOT NULL,
    source         text NOT NULL,
    recorded_at    timestamptz NOT NULL,
    CONSTRAINT occurrence_counts_once UNIQUE (dedup_key, occurrence_key)
);
CREATE INDEX incident_occurrence_by_incident ON finobs.incident_occurrence (incident_id, occurrence_id DESC);

CREATE TABLE finobs.incident_comment (
    comment_id  uuid PRIMARY KEY,
    incident_id bigint NOT NULL CONSTRAINT comment_is_on_an_incident REFERENCES finobs.incident,
    author_iss  text NOT NULL,
    author_sub  text NOT NULL,
    text        text NOT NULL CONSTRAINT incident_comment_has_a_text CHECK (text <> ''),
    created_at  timestamptz NOT NULL
);
CREATE INDEX incident_comment_by_incident ON finobs.incident_comment (incident_id, created_at);

-- A rung of the ladder fires once in each run of it.
CREATE TABLE finobs.incident_rung (
    incident_id bigint NOT NULL CONSTRAINT rung_is_of_an_incident REFERENCES finobs.incident,
    name        text NOT NULL,
    kind        text NOT NULL CONSTRAINT incident_rung_kind_is_known CHECK (kind IN ('reminder', 'escalation', 'overdue')),
    fired_at    timestamptz NOT NULL,
    PRIMARY KEY (incident_id, name)
);

CREATE TABLE finobs.maintenance_window (
    window_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    act_id      uuid NOT NULL CONSTRAINT window_is_once_per_act UNIQUE CONSTRAINT window_is_made_by_an_act REFERENCES finobs.act,
    title       text NOT NULL CONSTRAINT window_has_a_title CHECK (title <> ''),
    system      text NOT NULL CONSTRAINT window_has_a_system CHECK (system <> ''), -- * for any, as the next three
    source      text NOT NULL CONSTRAINT window_has_a_source CHECK (source <> ''),
    kind        text NOT NULL CONSTRAINT window_has_a_kind CHECK (kind <> ''),
    desk        text NOT NULL CONSTRAINT window_has_a_desk CHECK (desk <> ''),
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL CONSTRAINT window_ends_later CHECK (ends_at > starts_at),
    created_iss text NOT NULL,
    created_sub text NOT NULL,
    created_at  timestamptz NOT NULL,
    ended_at    timestamptz, -- by a person, before its time
    ended_iss   text NOT NULL DEFAULT '',
    ended_sub   text NOT NULL DEFAULT ''
);
CREATE INDEX maintenance_window_by_end ON finobs.maintenance_window (ends_at);

ALTER TABLE finobs.notification
    ALTER COLUMN approval_id DROP NOT NULL,
    ADD COLUMN incident_id bigint CONSTRAINT notification_is_about_an_incident REFERENCES finobs.incident,
    ADD CONSTRAINT notification_is_about_one_thing CHECK ((approval_id IS NULL) <> (incident_id IS NULL)),
    ADD CONSTRAINT notification_is_once_per_occasion_of_an_incident UNIQUE (incident_id, occasion);

GRANT SELECT, INSERT ON finobs.incident_occurrence, finobs.incident_comment, finobs.incident_rung, finobs.maintenance_window,
    finobs.incident_round, finobs.incident_key TO finobs_worker;
GRANT UPDATE (priority, severity_set, priority_set, system, owner, assignee_iss, assignee_sub, parent_id, merged_into, transaction_id,
    occurrences, last_seen_at, firing_at, ended_at, reopened, began_at, acknowledged_at, acknowledged_iss, acknowledged_sub,
    resolved_at, resolved_iss, resolved_sub, resolution, closed_at, ack_due_at, resolve_due_at, escalation_level, ladder_run, ladder_from,
    suppressed_until, nudge_at, life_started_at, life_run_id) ON finobs.incident TO finobs_worker;
GRANT UPDATE (began_at, ack_due_at, resolve_due_at, acknowledged_at, resolved_at) ON finobs.incident_round TO finobs_worker;
GRANT UPDATE (ended_at) ON finobs.incident_key TO finobs_worker;
GRANT UPDATE (incident_id) ON finobs.incident_occurrence TO finobs_worker; -- a merge moves them
GRANT UPDATE (incident_id) ON finobs.incident_comment TO finobs_worker;
GRANT UPDATE (ended_at, ended_iss, ended_sub) ON finobs.maintenance_window TO finobs_worker;

CREATE OR REPLACE VIEW api.incident AS
SELECT incident_id, kind, severity, status, title, description, desk, source, dedup_key, subject_kind, subject_id,
       exposure_usd, details, origin, opened_by_type, opened_by_iss, opened_by_sub, version, trace_id, opened_at, updated_at,
       priority, severity_set, priority_set, system, owner, assignee_iss, assignee_sub, parent_id, merged_into, transaction_id,
       occurrences, last_seen_at, firing_at, ended_at, reopened, began_at, acknowledged_at, acknowledged_iss, acknowledged_sub,
       resolved_at, resolved_iss, resolved_sub, resolution, closed_at, ack_due_at, resolve_due_at, escalation_level, ladder_run, ladder_from,
       suppressed_until, life_started_at, life_run_id
FROM finobs.incident;
CREATE OR REPLACE VIEW api.notification AS
SELECT notification_id, approval_id, occasion, kind, channel, recipients, subject, body, while_pending, status, detail, attempts,
       round, created_at, updated_at, incident_id
FROM finobs.notification;
CREATE VIEW api.incident_round AS
SELECT incident_id, round, began_at, ack_due_at, resolve_due_at, acknowledged_at, resolved_at FROM finobs.incident_round;
CREATE VIEW api.incident_occurrence AS
SELECT occurrence_id, incident_id, dedup_key, occurrence_key, firing, at, summary, source, recorded_at FROM finobs.incident_occurrence;
CREATE VIEW api.incident_comment AS
SELECT comment_id, incident_id, author_iss, author_sub, text, created_at FROM finobs.incident_comment;
CREATE VIEW api.incident_rung AS SELECT incident_id, name, kind, fired_at FROM finobs.incident_rung;
CREATE VIEW api.maintenance_window AS
SELECT window_id, title, system, source, kind, desk, starts_at, ends_at, created_iss, created_sub, created_at, ended_at, ended_iss, ended_sub
FROM finobs.maintenance_window;
GRANT SELECT ON api.incident_round, api.incident_occurrence, api.incident_comment, api.incident_rung, api.maintenance_window TO finobs_api;

-- +migrate Down
DROP VIEW api.maintenance_window, api.incident_rung, api.incident_comment, api.incident_occurrence, api.incident_round, api.notification, api.incident;
DELETE FROM finobs.notification WHERE approval_id IS NULL;
ALTER TABLE finobs.notification DROP COLUMN incident_id; -- with its constraints
ALTER TABLE finobs.notification ALTER COLUMN approval_id SET NOT NULL;
DROP TABLE finobs.maintenance_window, finobs.incident_rung, finobs.incident_comment, finobs.incident_occurrence, finobs.incident_key, finobs.incident_round;
DROP TRIGGER incident_status_moves_as_it_may ON finobs.incident;
DROP FUNCTION finobs.guard_incident_status;
ALTER TABLE finobs.incident DROP CONSTRAINT incident_merged_is_closed;
DROP INDEX finobs.incident_by_key, finobs.incident_by_severity, finobs.incident_by_desk, finobs.incident_alive;
ALTER TABLE finobs.incident
    DROP COLUMN priority, DROP COLUMN severity_set, DROP COLUMN priority_set, DROP COLUMN system, DROP COLUMN owner,
    DROP COLUMN assignee_iss, DROP COLUMN assignee_sub, DROP COLUMN parent_id, DROP COLUMN merged_into, DROP COLUMN transaction_id,
    DROP COLUMN occurrences, DROP COLUMN last_seen_at, DROP COLUMN firing_at, DROP COLUMN ended_at, DROP COLUMN reopened, DROP COLUMN began_at,
    DROP COLUMN acknowledged_at, DROP COLUMN acknowledged_iss, DROP COLUMN acknowledged_sub, DROP COLUMN resolved_at,
    DROP COLUMN resolved_iss, DROP COLUMN resolved_sub, DROP COLUMN resolution, DROP COLUMN closed_at, DROP COLUMN ack_due_at,
    DROP COLUMN resolve_due_at, DROP COLUMN escalation_level, DROP COLUMN ladder_run, DROP COLUMN ladder_from, DROP COLUMN suppressed_until,
    DROP COLUMN nudge_at, DROP COLUMN life_started_at, DROP COLUMN life_run_id;
CREATE VIEW api.incident AS
SELECT incident_id, kind, severity, status, title, description, desk, source, dedup_key, subject_kind, subject_id,
       exposure_usd, details, origin, opened_by_type, opened_by_iss, opened_by_sub, version, trace_id, opened_at, updated_at
FROM finobs.incident;
CREATE VIEW api.notification AS
SELECT notification_id, approval_id, occasion, kind, channel, recipients, subject, body, while_pending, status, detail, attempts,
       round, created_at, updated_at
FROM finobs.notification;
GRANT SELECT ON api.incident, api.notification TO finobs_api;
