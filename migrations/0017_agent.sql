-- Agents: their runs with what they were shown and said, what was spent on
-- models, what people thought of it; the actions that were planned, and what
-- became of each; and stops, under which no action begins.
-- Locking: new tables only.

-- +migrate Up
CREATE TABLE finobs.agent_run (
    run_id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    approval_id     bigint NOT NULL CONSTRAINT agent_run_is_once_per_approval UNIQUE
        CONSTRAINT agent_run_was_approved REFERENCES finobs.approval_request,
    kind            text NOT NULL CONSTRAINT agent_run_kind_is_known CHECK (kind IN ('triage', 'remediate', 'compliance', 'audit_summary')),
    incident_id     bigint CONSTRAINT agent_run_is_about_an_incident REFERENCES finobs.incident,
    parameters      jsonb NOT NULL, -- of the approved action
    is_simulation   boolean NOT NULL,
    requester_iss   text NOT NULL,
    requester_sub   text NOT NULL,
    desk            text NOT NULL,
    workflow_id     text NOT NULL,
    request_id      text NOT NULL,
    trace_id        text NOT NULL,
    status          text NOT NULL CONSTRAINT agent_run_status_is_known CHECK (status IN ('running', 'done', 'failed')),
    failure         text NOT NULL DEFAULT '',
    started_at      timestamptz NOT NULL,
    ended_at        timestamptz,
    question        jsonb, -- what a model is asked beside the evidence: a marker, a moment, the catalogue
    evidence_sha256 bytea CONSTRAINT agent_run_evidence_is_a_blob REFERENCES ledger.blob (sha256),
    output_sha256   bytea CONSTRAINT agent_run_output_is_a_blob REFERENCES ledger.blob (sha256),
    agent_version   text,
    fallback        text NOT NULL DEFAULT '', -- why the rulebook answered in the model's place
    category        text,
    severity        text,
    confidence      numeric CONSTRAINT agent_run_confidence_is_a_share CHECK (confidence BETWEEN 0 AND 1),
    inconclusive    boolean,
    problems        jsonb NOT NULL DEFAULT '[]',
    suspicions      jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT agent_run_ends_once CHECK ((status = 'running') = (ended_at IS NULL)),
    CONSTRAINT agent_run_done_has_an_output CHECK (status <> 'done' OR (output_sha256 IS NOT NULL AND agent_version IS NOT NULL))
);
CREATE INDEX agent_run_by_incident ON finobs.agent_run (incident_id, run_id DESC) WHERE incident_id IS NOT NULL;
CREATE INDEX agent_run_by_kind ON finobs.agent_run (kind, run_id DESC);
CREATE INDEX agent_run_by_status ON finobs.agent_run (status, run_id DESC);

-- What went to a model and came back, as it was on the wire.
CREATE TABLE finobs.agent_exchange (
    run_id          bigint NOT NULL CONSTRAINT exchange_is_of_a_run REFERENCES finobs.agent_run,
    ordinal         integer NOT NULL,
    exchange_sha256 bytea NOT NULL CONSTRAINT exchange_is_a_blob REFERENCES ledger.blob (sha256),
    provider        text NOT NULL,
    model           text NOT NULL,
    outcome         text NOT NULL,
    input_tokens    bigint NOT NULL CONSTRAINT exchange_input_is_counted CHECK (input_tokens >= 0),
    output_tokens   bigint NOT NULL CONSTRAINT exchange_output_is_counted CHECK (output_tokens >= 0),
    recorded_at     timestamptz NOT NULL,
    PRIMARY KEY (run_id, ordinal)
);

-- Reserved before a call, settled after it. A reservation that is never settled
-- counts in full.
CREATE TABLE finobs.agent_spend (
    spend_id    uuid PRIMARY KEY,
    run_id      bigint NOT NULL CONSTRAINT spend_is_of_a_run REFERENCES finobs.agent_run,
    incident_id bigint,
    desk        text NOT NULL,
    day         date NOT NULL, -- UTC
    calls       bigint NOT NULL CONSTRAINT spend_calls_are_counted CHECK (calls >= 0),
    tokens      bigint NOT NULL CONSTRAINT spend_tokens_are_counted CHECK (tokens >= 0),
    usd         numeric NOT NULL CONSTRAINT spend_usd_is_an_amount CHECK (usd >= 0 AND usd < 1e12),
    millis      bigint NOT NULL CONSTRAINT spend_time_is_counted CHECK (millis >= 0),
    settled     boolean NOT NULL DEFAULT false,
    reserved_at timestamptz NOT NULL
);
CREATE INDEX agent_spend_by_run ON finobs.agent_spend (run_id);
CREATE INDEX agent_spend_by_incident ON finobs.agent_spend (incident_id) WHERE incident_id IS NOT NULL;
CREATE INDEX agent_spend_by_day ON finobs.agent_spend (day, desk);

-- What people think of outputs: agreement, or an override.
CREATE TABLE finobs.agent_verdict (
    verdict_id    uuid PRIMARY KEY,
    run_id        bigint NOT NULL CONSTRAINT verdict_is_on_a_run REFERENCES finobs.agent_run,
    field         text NOT NULL CONSTRAINT verdict_field_is_known CHECK (field IN ('severity', 'category', 'action')),
    recommended   text NOT NULL,
    chosen        text NOT NULL,
    override_type text CONSTRAINT verdict_override_is_known CHECK (override_type IN ('ai_override', 'manual_override')),
    reason        text NOT NULL,
    by_iss        text NOT NULL,
    by_sub        text NOT NULL,
    created_at    timestamptz NOT NULL,
    CONSTRAINT agreement_is_no_override CHECK ((recommended = chosen) = (override_type IS NULL))
);
CREATE INDEX agent_verdict_by_run ON finobs.agent_verdict (run_id, created_at);

CREATE TABLE finobs.agent_finding (
    run_id       bigint NOT NULL CONSTRAINT finding_is_of_a_run REFERENCES finobs.agent_run,
    finding_id   text NOT NULL,
    rule         text NOT NULL,
    rule_version text NOT NULL,
    severity     text NOT NULL CONSTRAINT finding_severity_is_known CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    party        text NOT NULL,
    records      text[] NOT NULL,
    facts        jsonb NOT NULL,
    text         text NOT NULL,
    PRIMARY KEY (run_id, finding_id)
);
CREATE INDEX agent_finding_by_rule ON finobs.agent_finding (rule, run_id DESC);

-- An action that was planned. Its id is that of the approval under which it may be
-- carried out, taken when it is planned. What was planned never changes.
CREATE TABLE finobs.agent_action (
    action_id      bigint PRIMARY KEY,
    run_id         bigint NOT NULL CONSTRAINT action_was_planned_by_a_run REFERENCES finobs.agent_run,
    ordinal        integer NOT NULL,
    incident_id    bigint NOT NULL CONSTRAINT action_is_for_an_incident REFERENCES finobs.incident,
    type           text NOT NULL,
    type_version   integer NOT NULL,
    connector      text NOT NULL,
    target_kind    text NOT NULL,
    target_id      text NOT NULL,
    target_version text NOT NULL,
    plan           bytea NOT NULL,  -- canonical, see package action
    plan_digest    text NOT NULL CONSTRAINT action_plan_digest_is_sha256 CHECK (plan_digest ~ '^sha256:[0-9a-f]{64}$'),
    risk_tier      text NOT NULL CONSTRAINT action_risk_tier_is_known CHECK (risk_tier IN ('low', 'medium', 'high')),
    is_simulation  boolean NOT NULL,
    requester_iss  text NOT NULL,
    requester_sub  text NOT NULL,
    desk           text NOT NULL,
    reason         text NOT NULL,   -- why the agent proposes it
    planned_at     timestamptz NOT NULL,
    status         text NOT NULL DEFAULT 'planned' CONSTRAINT action_status_is_known
        CHECK (status IN ('planned', 'executing', 'done', 'failed', 'unknown', 'superseded', 'withdrawn')),
    status_reason  text NOT NULL DEFAULT '',
    recovery       text NOT NULL DEFAULT '' CONSTRAINT action_recovery_is_known
        CHECK (recovery IN ('', 'waiting', 'recovered', 'not_recovered', 'compensated', 'compensation_failed', 'compensation_unknown')),
    recovery_reason text NOT NULL DEFAULT '',
    leased         boolean NOT NULL DEFAULT false, -- nothing else may act on the target
    idem_key       text CONSTRAINT action_key_is_unique UNIQUE,
    sent_at        timestamptz,     -- from then on the target system may have it
    effect_id      text NOT NULL DEFAULT '', -- by the target system
    began_at       timestamptz,
    ended_at       timestamptz,
    resolved_iss   text NOT NULL DEFAULT '', -- who found what became of an unknown outcome
    resolved_sub   text NOT NULL DEFAULT '',
    CONSTRAINT action_is_planned_once UNIQUE (run_id, ordinal)
);
CREATE UNIQUE INDEX agent_action_one_per_target ON finobs.agent_action (connector, target_kind, target_id) WHERE leased;
CREATE INDEX agent_action_by_status ON finobs.agent_action (status, action_id DESC);
CREATE INDEX agent_action_by_incident ON finobs.agent_action (incident_id, action_id DESC);
CREATE INDEX agent_action_by_type ON finobs.agent_action (type, action_id DESC);
CREATE INDEX agent_action_begun ON finobs.agent_action (type, desk, began_at) WHERE began_at IS NOT NULL;

-- Statuses move along agent.ActionStatus.CanBecome, whoever writes.
-- +migrate StatementBegin
CREATE FUNCTION finobs.guard_agent_action() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.status = NEW.status
        OR (OLD.status = 'planned' AND NEW.status IN ('executing', 'superseded', 'withdrawn', 'failed'))
        OR (OLD.status = 'executing' AND NEW.status IN ('done', 'failed', 'unknown', 'superseded'))
        OR (OLD.status = 'unknown' AND NEW.status IN ('done', 'failed'))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'action % cannot go from % to %', OLD.action_id, OLD.status, NEW.status
        USING ERRCODE = 'check_violation', CONSTRAINT = 'agent_action_status_moves_as_it_may';
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER agent_action_status_moves_as_it_may BEFORE UPDATE ON finobs.agent_action
    FOR EACH ROW EXECUTE FUNCTION finobs.guard_agent_action();

CREATE TABLE finobs.agent_stop (
    stop_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    desk        text NOT NULL, -- empty: every desk
    reason      text NOT NULL,
    set_iss     text NOT NULL,
    set_sub     text NOT NULL,
    set_at      timestamptz NOT NULL,
    lifted_at   timestamptz,
    lifted_by   bigint CONSTRAINT stop_is_lifted_by_an_approval REFERENCES finobs.approval_request
);
CREATE UNIQUE INDEX agent_stop_one_in_force ON finobs.agent_stop (desk) WHERE lifted_at IS NULL;

-- A model's part in the record is read back by those who carry it on, and by those
-- who replay it.
GRANT SELECT (bytes) ON ledger.blob TO finobs_worker;
GRANT EXECUTE ON FUNCTION api.next_approval_id() TO finobs_worker;
GRANT SELECT, INSERT ON finobs.agent_run, finobs.agent_exchange, finobs.agent_spend, finobs.agent_verdict, finobs.agent_finding,
    finobs.agent_action, finobs.agent_stop TO finobs_worker;
GRANT UPDATE (status, failure, ended_at, question, evidence_sha256, output_sha256, agent_version, fallback, category, severity, confidence, inconclusive,
    problems, suspicions) ON finobs.agent_run TO finobs_worker;
GRANT UPDATE (calls, tokens, usd, millis, settled) ON finobs.agent_spend TO finobs_worker;
GRANT UPDATE (status, status_reason, recovery, recovery_reason, leased, idem_key, sent_at, effect_id, began_at, ended_at, resolved_iss, resolved_sub)
    ON finobs.agent_action TO finobs_worker;
GRANT UPDATE (lifted_at, lifted_by) ON finobs.agent_stop TO finobs_worker;

CREATE VIEW api.agent_run AS
SELECT r.run_id, r.approval_id, r.kind, r.incident_id, r.parameters, r.is_simulation, r.requester_iss, r.requester_sub, r.desk, r.workflow_id,
       r.request_id, r.trace_id, r.status, r.failure, r.started_at, r.ended_at, r.question, encode(r.evidence_sha256, 'hex') AS evidence_sha256,
       encode(r.output_sha256, 'hex') AS output_sha256, r.agent_version, r.fallback, r.category, r.severity, r.confidence, r.inconclusive,
       r.problems, r.suspicions
FROM finobs.agent_run r;
-- The blobs of runs, and no others.
CREATE VIEW api.agent_blob AS
SELECT r.run_id, 'evidence' AS part, 0 AS ordinal, encode(b.sha256, 'hex') AS sha256, b.bytes
FROM finobs.agent_run r JOIN ledger.blob b ON b.sha256 = r.evidence_sha256
UNION ALL
SELECT r.run_id, 'output', 0, encode(b.sha256, 'hex'), b.bytes
FROM finobs.agent_run r JOIN ledger.blob b ON b.sha256 = r.output_sha256
UNION ALL
SELECT r.run_id, 'question', 0, '', convert_to(r.question::text, 'UTF8') FROM finobs.agent_run r WHERE r.question IS NOT NULL
UNION ALL
SELECT x.run_id, 'exchange', x.ordinal, encode(b.sha256, 'hex'), b.bytes
FROM finobs.agent_exchange x JOIN ledger.blob b ON b.sha256 = x.exchange_sha256;
CREATE VIEW api.agent_exchange AS
SELECT run_id, ordinal, encode(exchange_sha256, 'hex') AS exchange_sha256, provider, model, outcome, input_tokens, output_tokens, recorded_at
FROM finobs.agent_exchange;
CREATE VIEW api.agent_spend AS
SELECT day, desk, run_id, incident_id, calls, tokens, usd, millis, settled, reserved_at FROM finobs.agent_spend;
CREATE VIEW api.agent_verdict AS
SELECT verdict_id, run_id, field, recommended, chosen, override_type, reason, by_iss, by_sub, created_at FROM finobs.agent_verdict;
CREATE VIEW api.agent_finding AS
SELECT run_id, finding_id, rule, rule_version, severity, party, records, facts, text FROM finobs.agent_finding;
CREATE VIEW api.agent_action AS
SELECT a.action_id, a.run_id, a.ordinal, a.incident_id, a.type, a.type_version, a.connector, a.target_kind, a.target_id, a.target_version,
       a.plan, a.plan_digest, a.risk_tier, a.is_simulation, a.requester_iss, a.requester_sub, a.desk, a.reason, a.planned_at, a.status,
       a.status_reason, a.recovery, a.recovery_reason, a.leased, a.idem_key, a.sent_at, a.effect_id, a.began_at, a.ended_at, a.resolved_iss,
       a.resolved_sub, r.status AS approval_status, r.status_reason AS approval_reason
FROM finobs.agent_action a LEFT JOIN finobs.approval_request r ON r.approval_id = a.action_id;
CREATE VIEW api.agent_stop AS
SELECT stop_id, desk, reason, set_iss, set_sub, set_at, lifted_at, lifted_by FROM finobs.agent_stop;
GRANT SELECT ON api.agent_run, api.agent_blob, api.agent_exchange, api.agent_spend, api.agent_verdict, api.agent_finding, api.agent_action,
    api.agent_stop TO finobs_api;

-- +migrate Down
DROP VIEW api.agent_stop;
DROP VIEW api.agent_action;
DROP VIEW api.agent_finding;
DROP VIEW api.agent_verdict;
DROP VIEW api.agent_spend;
DROP VIEW api.agent_exchange;
DROP VIEW api.agent_blob;
DROP VIEW api.agent_run;
DROP TABLE finobs.agent_stop;
DROP TABLE finobs.agent_action;
DROP FUNCTION finobs.guard_agent_action;
DROP TABLE finobs.agent_finding;
DROP TABLE finobs.agent_verdict;
DROP TABLE finobs.agent_spend;
DROP TABLE finobs.agent_exchange;
DROP TABLE finobs.agent_run;
REVOKE EXECUTE ON FUNCTION api.next_approval_id() FROM finobs_worker;
REVOKE SELECT (bytes) ON ledger.blob FROM finobs_worker;
