-- Requests for approval and the decisions on them. What was asked, under which
-- policy, is written once; only the status moves, and only forward.
-- Locking: new tables only.

-- +migrate Up
CREATE SEQUENCE finobs.approval_id AS bigint;

CREATE TABLE finobs.approval_request (
    approval_id    bigint PRIMARY KEY,
    workflow_id    text NOT NULL,
    first_run_id   text NOT NULL,
    kind           text NOT NULL,
    action         bytea NOT NULL,  -- canonical bytes, exactly what is approved
    action_digest  text NOT NULL CONSTRAINT action_digest_is_sha256 CHECK (action_digest ~ '^sha256:[0-9a-f]{64}$'),
    policy_id      text NOT NULL,
    policy         bytea NOT NULL,  -- frozen at the request
    policy_digest  text NOT NULL CONSTRAINT policy_digest_is_sha256 CHECK (policy_digest ~ '^sha256:[0-9a-f]{64}$'),
    requester_iss  text NOT NULL,
    requester_sub  text NOT NULL CONSTRAINT requester_is_named CHECK (requester_sub <> ''),
    desk           text NOT NULL,
    is_simulation  boolean NOT NULL,
    reason         text NOT NULL,
    command        text NOT NULL,   -- the API's signed word that the requester asked for this
    request_id     text NOT NULL,
    trace_id       text NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL CONSTRAINT deadline_is_later CHECK (expires_at > created_at),
    status         text NOT NULL DEFAULT 'pending' CONSTRAINT status_is_known
        CHECK (status IN ('pending', 'approved', 'consumed', 'rejected', 'expired', 'cancelled', 'superseded')),
    status_reason  text NOT NULL DEFAULT '',
    closed_at      timestamptz,     -- left pending
    use_by         timestamptz,     -- approved: last moment of use
    consumed_at    timestamptz,
    consumed_by    text,            -- workflow that spent the approval
    CONSTRAINT pending_is_open CHECK ((status = 'pending') = (closed_at IS NULL)),
    CONSTRAINT consumed_says_when_and_by_whom CHECK (
        (status = 'consumed') = (consumed_at IS NOT NULL) AND (status = 'consumed') = (consumed_by IS NOT NULL)),
    CONSTRAINT approved_has_a_last_use CHECK (status NOT IN ('approved', 'consumed') OR use_by IS NOT NULL)
);
-- One open request per exact action; the requester is part of the digest.
CREATE UNIQUE INDEX approval_request_one_open ON finobs.approval_request (action_digest)
    WHERE status IN ('pending', 'approved');
CREATE INDEX approval_request_by_digest ON finobs.approval_request (action_digest, approval_id DESC);
CREATE INDEX approval_request_by_status ON finobs.approval_request (status, approval_id DESC);

-- Statuses move forward along approval.Status.CanBecome, whoever writes.
-- +migrate StatementBegin
CREATE FUNCTION finobs.guard_approval_status() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.status = NEW.status
        OR (OLD.status = 'pending' AND NEW.status NOT IN ('pending', 'consumed'))
        OR (OLD.status = 'approved' AND NEW.status IN ('consumed', 'cancelled', 'superseded', 'expired'))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'approval % cannot go from % to %', OLD.approval_id, OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'approval_status_moves_forward';
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER approval_status_moves_forward BEFORE UPDATE ON finobs.approval_request
    FOR EACH ROW EXECUTE FUNCTION finobs.guard_approval_status();

CREATE TABLE finobs.approval_decision (
    decision_id    uuid PRIMARY KEY,
    seq            bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT decision_seq_is_unique UNIQUE,
    approval_id    bigint NOT NULL CONSTRAINT decision_is_on_a_request REFERENCES finobs.approval_request,
    verdict        text NOT NULL CONSTRAINT verdict_is_known CHECK (verdict IN ('approve', 'reject')),
    approver_iss   text NOT NULL,
    approver_sub   text NOT NULL,
    approver_key   text NOT NULL, -- approval.Person.Same: lower-cased iss and sub
    approver_roles text[] NOT NULL,
    reason         text NOT NULL,
    token          text NOT NULL, -- the API's signed word that this person decided this
    outcome        text NOT NULL CONSTRAINT decision_outcome_is_known CHECK (outcome IN ('counted', 'repeated', 'refused')),
    outcome_reason text NOT NULL, -- why it did not count
    counted_as     uuid CONSTRAINT repeat_is_of_a_decision REFERENCES finobs.approval_decision (decision_id),
    trace_id       text NOT NULL,
    decided_at     timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    CONSTRAINT repeated_names_the_first CHECK ((outcome = 'repeated') = (counted_as IS NOT NULL))
);
-- One person counts once.
CREATE UNIQUE INDEX approval_decision_one_each ON finobs.approval_decision (approval_id, approver_key)
    WHERE outcome = 'counted';
CREATE INDEX approval_decision_by_request ON finobs.approval_decision (approval_id, seq);

GRANT SELECT, INSERT ON finobs.approval_request, finobs.approval_decision TO finobs_worker;
GRANT UPDATE (status, status_reason, closed_at, use_by, consumed_at, consumed_by) ON finobs.approval_request TO finobs_worker;

-- +migrate StatementBegin
CREATE FUNCTION api.next_approval_id() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
$$ SELECT nextval('finobs.approval_id') $$;
-- +migrate StatementEnd
REVOKE EXECUTE ON FUNCTION api.next_approval_id FROM PUBLIC;
GRANT EXECUTE ON FUNCTION api.next_approval_id TO finobs_api;

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

-- +migrate Down
DROP VIEW api.approval_decision;
DROP VIEW api.approval_request;
DROP FUNCTION api.next_approval_id;
DROP TABLE finobs.approval_decision;
DROP TABLE finobs.approval_request;
DROP FUNCTION finobs.guard_approval_status;
DROP SEQUENCE finobs.approval_id;
