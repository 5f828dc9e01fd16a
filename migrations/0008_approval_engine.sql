-- The life of a request beside its decisions: what the approvers are shown,
-- links to other requests, who it is assigned to, comments, delegations, rungs
-- of the ladder, notifications.
-- Locking: the ALTERs add columns with constant defaults and take their tables
-- for a moment only.

-- +migrate Up
ALTER TABLE finobs.approval_request
    ADD COLUMN risk_tier        text NOT NULL DEFAULT 'medium' CONSTRAINT risk_tier_is_known CHECK (risk_tier IN ('low', 'medium', 'high')),
    ADD COLUMN summary          text NOT NULL DEFAULT '', -- the text that approvers are shown, frozen at the request
    ADD COLUMN attachment       text NOT NULL DEFAULT '', -- content that the action names by its digest
    ADD COLUMN reopens          bigint CONSTRAINT reopened_request_exists REFERENCES finobs.approval_request,
    ADD COLUMN supersedes       bigint CONSTRAINT superseded_request_exists REFERENCES finobs.approval_request,
    ADD COLUMN assignee_iss     text NOT NULL DEFAULT '',
    ADD COLUMN assignee_sub     text NOT NULL DEFAULT '',
    ADD COLUMN escalation_level integer NOT NULL DEFAULT 0 CONSTRAINT escalation_level_is_not_negative CHECK (escalation_level >= 0),
    ADD COLUMN fallback_at      timestamptz, -- since when the policy's fallback list is admitted
    ADD COLUMN target_ids       text[] NOT NULL DEFAULT '{}'; -- kind:id of what the action touches, sorted
CREATE INDEX approval_request_by_deadline ON finobs.approval_request (status, expires_at, approval_id);
CREATE INDEX approval_request_open ON finobs.approval_request (approval_id) WHERE status IN ('pending', 'approved');
CREATE INDEX approval_request_open_by_target ON finobs.approval_request USING gin (target_ids) WHERE status = 'pending';
CREATE INDEX approval_request_by_requester ON finobs.approval_request (requester_sub, approval_id DESC);
CREATE INDEX approval_request_by_assignee ON finobs.approval_request (assignee_sub, approval_id DESC) WHERE assignee_sub <> '';

ALTER TABLE finobs.approval_decision
    ADD COLUMN approver_kind  text NOT NULL DEFAULT 'human' CONSTRAINT approver_kind_is_known CHECK (approver_kind IN ('human', 'agent', 'system')),
    ADD COLUMN approver_desk  text NOT NULL DEFAULT '',
    ADD COLUMN on_behalf_of   jsonb,           -- the delegator as he stood, when a delegate decided
    ADD COLUMN fallback       boolean NOT NULL DEFAULT false,
    ADD COLUMN summary_sha256 text NOT NULL DEFAULT ''; -- of the text that the approver was shown

-- What people did to requests besides deciding: each act is done once, however
-- often its workflow is started.
CREATE TABLE finobs.act (
    act_id        uuid PRIMARY KEY,
    delegation_id bigint, -- that the act made
    recorded_at   timestamptz NOT NULL
);

CREATE TABLE finobs.approval_comment (
    comment_id  uuid PRIMARY KEY,
    approval_id bigint NOT NULL CONSTRAINT comment_is_on_a_request REFERENCES finobs.approval_request,
    author_iss  text NOT NULL,
    author_sub  text NOT NULL,
    text        text NOT NULL CONSTRAINT comment_has_a_text CHECK (text <> ''),
    created_at  timestamptz NOT NULL
);
CREATE INDEX approval_comment_by_request ON finobs.approval_comment (approval_id, created_at);

CREATE TABLE finobs.delegation (
    delegation_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    act_id         uuid NOT NULL CONSTRAINT delegation_is_once_per_act UNIQUE
        CONSTRAINT delegation_is_made_by_an_act REFERENCES finobs.act,
    approval_id    bigint CONSTRAINT delegation_is_of_a_request REFERENCES finobs.approval_request, -- null: all requests
    from_principal jsonb NOT NULL,  -- the delegator as he stood
    from_key       text NOT NULL,
    to_iss         text NOT NULL,
    to_sub         text NOT NULL,
    to_key         text NOT NULL,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL CONSTRAINT delegation_ends_later CHECK (ends_at > starts_at),
    reason         text NOT NULL CONSTRAINT delegation_has_a_reason CHECK (reason <> ''),
    created_at     timestamptz NOT NULL,
    revoked_at     timestamptz,
    CONSTRAINT nobody_delegates_to_himself CHECK (from_key <> to_key)
);
CREATE INDEX delegation_by_delegate ON finobs.delegation (to_key, ends_at);
CREATE INDEX delegation_by_delegator ON finobs.delegation (from_key, ends_at);

-- A rung of the ladder fires once.
CREATE TABLE finobs.approval_rung (
    approval_id bigint NOT NULL CONSTRAINT rung_is_of_a_request REFERENCES finobs.approval_request,
    name        text NOT NULL,
    fired_at    timestamptz NOT NULL,
    fired_iss   text NOT NULL,
    fired_sub   text NOT NULL,
    PRIMARY KEY (approval_id, name)
);

-- The outbox: a row is written with what it tells of, and sent afterwards.
CREATE TABLE finobs.notification (
    notification_id uuid PRIMARY KEY,
    approval_id     bigint NOT NULL CONSTRAINT notification_is_about_a_request REFERENCES finobs.approval_request,
    occasion        text NOT NULL,  -- requested, nobody-eligible, outcome, or the name of a rung
    kind            text NOT NULL,
    channel         text NOT NULL,
    recipients      jsonb NOT NULL,
    subject         text NOT NULL,
    body            text NOT NULL,
    while_pending   boolean NOT NULL, -- not sent once the request is decided
    status          text NOT NULL DEFAULT 'queued' CONSTRAINT notification_status_is_known
        CHECK (status IN ('queued', 'sending', 'sent', 'skipped', 'dead', 'unknown')),
    detail          text NOT NULL DEFAULT '',
    attempts        integer NOT NULL DEFAULT 0,
    round           integer NOT NULL DEFAULT 1, -- counts re-sends by people
    trace_id        text NOT NULL,
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    CONSTRAINT notification_is_once_per_occasion UNIQUE (approval_id, occasion)
);
CREATE INDEX notification_unfinished ON finobs.notification (created_at) WHERE status IN ('queued', 'sending');
CREATE INDEX notification_by_status ON finobs.notification (status, created_at DESC);

-- Channels over which some worker can send. Notices for others are not queued.
CREATE TABLE finobs.channel (
    name       text PRIMARY KEY,
    updated_at timestamptz NOT NULL
);

-- Whose turn it is to repair, so that one worker does at a time.
CREATE TABLE finobs.reconciler (
    only_row       boolean PRIMARY KEY DEFAULT true CONSTRAINT reconciler_is_one_row CHECK (only_row),
    holder         text NOT NULL DEFAULT '',
    held_until     timestamptz NOT NULL DEFAULT '-infinity',
    people_seen_at timestamptz NOT NULL DEFAULT '-infinity' -- changes of the roster that open requests know of
);
INSERT INTO finobs.reconciler DEFAULT VALUES;

ALTER TABLE finobs.export DROP CONSTRAINT export_status_is_known;
ALTER TABLE finobs.export ADD CONSTRAINT export_status_is_known CHECK (status IN ('intended', 'sealed', 'failed'));

GRANT SELECT, INSERT ON finobs.act, finobs.approval_comment, finobs.delegation, finobs.approval_rung, finobs.notification TO finobs_worker;
GRANT UPDATE (assignee_iss, assignee_sub, escalation_level, fallback_at) ON finobs.approval_request TO finobs_worker;
GRANT SELECT, INSERT, UPDATE ON finobs.channel TO finobs_worker;
GRANT SELECT, UPDATE ON finobs.reconciler TO finobs_worker;
GRANT UPDATE (delegation_id) ON finobs.act TO finobs_worker;
GRANT UPDATE (revoked_at) ON finobs.delegation TO finobs_worker;
GRANT UPDATE (status, detail, attempts, round, updated_at) ON finobs.notification TO finobs_worker;

CREATE OR REPLACE VIEW api.approval_request AS
SELECT approval_id, workflow_id, kind, action, action_digest, policy_id, policy, policy_digest,
       requester_iss, requester_sub, desk, is_simulation, reason, command, request_id, trace_id,
       created_at, expires_at, status, status_reason, closed_at, use_by, consumed_at, consumed_by,
       risk_tier, summary, attachment, reopens, supersedes, assignee_iss, assignee_sub, escalation_level, fallback_at, target_ids,
       first_run_id
FROM finobs.approval_request;
CREATE OR REPLACE VIEW api.approval_decision AS
SELECT decision_id, seq, approval_id, verdict, approver_iss, approver_sub, approver_key, approver_roles, reason,
       token, outcome, outcome_reason, counted_as, decided_at, recorded_at,
       approver_kind, approver_desk, on_behalf_of, fallback, summary_sha256
FROM finobs.approval_decision;
CREATE VIEW api.approval_comment AS
SELECT comment_id, approval_id, author_iss, author_sub, text, created_at FROM finobs.approval_comment;
CREATE VIEW api.delegation AS
SELECT delegation_id, approval_id, from_principal, from_key, to_iss, to_sub, to_key, starts_at, ends_at, reason, created_at, revoked_at
FROM finobs.delegation;
CREATE VIEW api.approval_rung AS SELECT approval_id, name, fired_at, fired_iss, fired_sub FROM finobs.approval_rung;
CREATE VIEW api.notification AS
SELECT notification_id, approval_id, occasion, kind, channel, recipients, subject, body, while_pending, status, detail, attempts,
       round, created_at, updated_at
FROM finobs.notification;
CREATE VIEW api.channel AS SELECT name, updated_at FROM finobs.channel;
GRANT SELECT ON api.channel TO finobs_api;
GRANT SELECT ON api.approval_comment, api.delegation, api.approval_rung, api.notification TO finobs_api;

-- +migrate Down
DROP VIEW api.channel;
DROP VIEW api.notification;
DROP VIEW api.approval_rung;
DROP VIEW api.delegation;
DROP VIEW api.approval_comment;
DROP VIEW api.approval_decision;
DROP VIEW api.approval_request;
DROP TABLE finobs.reconciler;
DROP TABLE finobs.channel;
DROP TABLE finobs.notification;
DROP TABLE finobs.approval_rung;
DROP TABLE finobs.delegation;
DROP TABLE finobs.approval_comment;
DROP TABLE finobs.act;
ALTER TABLE finobs.export DROP CONSTRAINT export_status_is_known;
UPDATE finobs.export SET status = 'intended' WHERE status = 'failed';
ALTER TABLE finobs.export ADD CONSTRAINT export_status_is_known CHECK (status IN ('intended', 'sealed'));
DROP INDEX finobs.approval_request_by_deadline, finobs.approval_request_open, finobs.approval_request_by_requester;
ALTER TABLE finobs.approval_decision
    DROP COLUMN approver_kind, DROP COLUMN approver_desk, DROP COLUMN on_behalf_of, DROP COLUMN fallback, DROP COLUMN summary_sha256;
ALTER TABLE finobs.approval_request
    DROP COLUMN risk_tier, DROP COLUMN summary, DROP COLUMN attachment, DROP COLUMN reopens, DROP COLUMN supersedes,
    DROP COLUMN assignee_iss, DROP COLUMN assignee_sub, DROP COLUMN escalation_level, DROP COLUMN fallback_at, DROP COLUMN target_ids;
CREATE VIEW api.approval_request AS
SELECT approval_id, workflow_id, kind, action, action_digest, policy_id, policy, policy_digest,
       requester_iss, requester_sub, desk, is_simulation, reason, command, request_id, trace_id,
       created_at, expires_at, status, status_reason, closed_at, use_by, consumed_at, consumed_by
FROM finobs.approval_request;
CREATE VIEW api.approval_decision AS
SELECT decision_id, seq, approval_id, verdict, approver_iss, approver_sub, approver_key, approver_roles, reason,
       token, outcome, outcome_reason, counted_as, decided_at, recorded_at
FROM finobs.approval_decision;
GRANT SELECT ON api.approval_request, api.approval_decision TO finobs_api;
