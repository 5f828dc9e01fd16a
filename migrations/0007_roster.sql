-- The roster: who may act, with which roles; and the sets of approval policies,
-- of which the newest is in force. Both change through gated actions only.
-- Locking: new tables only.

-- +migrate Up
CREATE TABLE finobs.person (
    person_key text PRIMARY KEY, -- approval.Person.Key: lower-cased iss and sub
    iss        text NOT NULL CONSTRAINT person_has_an_issuer CHECK (iss <> ''),
    sub        text NOT NULL CONSTRAINT person_has_a_subject CHECK (sub <> ''),
    kind       text NOT NULL CONSTRAINT person_kind_is_known CHECK (kind IN ('human', 'agent', 'system')),
    roles      text[] NOT NULL,
    desk       text NOT NULL,
    email      text NOT NULL,
    active     boolean NOT NULL,
    version    bigint NOT NULL CONSTRAINT person_version_is_positive CHECK (version > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX person_by_change ON finobs.person (updated_at);

CREATE TABLE finobs.policy_set (
    policy_set_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content       text NOT NULL,  -- YAML, exactly as approved
    content_sha256 bytea NOT NULL CONSTRAINT policy_set_digest_is_sha256
        CHECK (content_sha256 = pg_catalog.sha256(convert_to(content, 'UTF8'))),
    approval_id   bigint CONSTRAINT policy_set_is_once_per_approval UNIQUE
        CONSTRAINT policy_set_is_approved REFERENCES finobs.approval_request, -- null: the set of the first start
    activated_iss text NOT NULL,
    activated_sub text NOT NULL,
    activated_at  timestamptz NOT NULL
);
-- Exactly one set needs no approval: the one that a new database starts with.
CREATE UNIQUE INDEX policy_set_one_first ON finobs.policy_set ((true)) WHERE approval_id IS NULL;

GRANT SELECT, INSERT ON finobs.person, finobs.policy_set TO finobs_worker;
GRANT UPDATE (kind, roles, desk, email, active, version, updated_at) ON finobs.person TO finobs_worker;

CREATE VIEW api.person AS
SELECT person_key, iss, sub, kind, roles, desk, email, active, version, created_at, updated_at FROM finobs.person;
CREATE VIEW api.policy_set AS
SELECT policy_set_id, content, encode(content_sha256, 'hex') AS content_sha256, approval_id, activated_iss, activated_sub, activated_at
FROM finobs.policy_set;
GRANT SELECT ON api.person, api.policy_set TO finobs_api;

-- +migrate Down
DROP VIEW api.policy_set;
DROP VIEW api.person;
DROP TABLE finobs.policy_set;
DROP TABLE finobs.person;
