-- Reconciliation: runs that compared two sides, and the breaks that they found.
-- A break keeps its row over runs. Locking: new tables only.

-- +migrate Up
CREATE TABLE finobs.recon_run (
    run_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_key        text NOT NULL CONSTRAINT recon_run_is_once_per_key UNIQUE, -- the end of its workflow's id
    workflow_id    text NOT NULL,
    profile        text NOT NULL CONSTRAINT recon_run_has_a_profile CHECK (profile <> ''),
    profile_digest text NOT NULL,  -- SHA-256 of the profile's text, which ledger.blob keeps
    origin         text NOT NULL CONSTRAINT recon_run_origin_is_known CHECK (origin IN ('live', 'demo')),
    state          text NOT NULL CONSTRAINT recon_run_state_is_known CHECK (state IN ('done', 'failed')),
    reason         text NOT NULL,  -- why it failed; empty when it did not
    request        jsonb NOT NULL, -- digests of files or names of books, window, strict
    report         jsonb NOT NULL, -- counts, bad lines, matches to be looked at
    breaks_sha256  bytea CONSTRAINT recon_breaks_digest_is_sha256 CHECK (octet_length(breaks_sha256) = 32),
    requested_iss  text NOT NULL,
    requested_sub  text NOT NULL,
    trace_id       text NOT NULL,
    started_at     timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    CONSTRAINT done_recon_has_its_digest CHECK ((state = 'done') = (breaks_sha256 IS NOT NULL))
);
CREATE INDEX recon_run_by_profile ON finobs.recon_run (profile, run_id DESC);

-- Amounts are exact; the bounds keep NaN and infinity out.
CREATE TABLE finobs.trade_break (
    break_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    profile         text NOT NULL,
    origin          text NOT NULL CONSTRAINT trade_break_origin_is_known CHECK (origin IN ('live', 'demo')),
    type            text NOT NULL CONSTRAINT trade_break_type_is_known CHECK (type IN ('missing_left', 'missing_right', 'quantity', 'price',
        'fee', 'side', 'symbol', 'currency', 'trade_date', 'settlement_date', 'account', 'duplicate_left', 'duplicate_right')),
    key             text NOT NULL,
    field           text NOT NULL,
    ordinal         integer NOT NULL, -- 1, and more when several records of a run have nothing that tells them apart
    status          text NOT NULL CONSTRAINT trade_break_status_is_known CHECK (status IN ('open', 'resolved')),
    severity        text NOT NULL CONSTRAINT trade_break_severity_is_known CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    owner           text NOT NULL,
    sla_hours       integer NOT NULL,
    left_key        text NOT NULL,
    right_key       text NOT NULL,
    left_ids        text[] NOT NULL,
    right_ids       text[] NOT NULL,
    left_value      text NOT NULL,
    right_value     text NOT NULL,
    difference      numeric CONSTRAINT trade_break_difference_is_a_number CHECK (difference > -1e40 AND difference < 1e40),
    currency        text NOT NULL,
    exposure        numeric CONSTRAINT trade_break_exposure_is_a_number CHECK (exposure >= 0 AND exposure < 1e45), -- in currency
    confidence      numeric NOT NULL CONSTRAINT trade_break_confidence_is_a_share CHECK (confidence >= 0 AND confidence <= 1),
    needs_review    boolean NOT NULL,
    symbol          text NOT NULL,
    side            text NOT NULL,
    account         text NOT NULL,
    trade_date      date,
    settlement_date date,
    cutoff_at       timestamptz, -- until when it can be mended in time to settle
    calendar        text NOT NULL,
    first_run       bigint NOT NULL REFERENCES finobs.recon_run,
    last_run        bigint NOT NULL REFERENCES finobs.recon_run, -- the last one that showed it
    resolved_run    bigint REFERENCES finobs.recon_run,
    first_seen_at   timestamptz NOT NULL,
    last_seen_at    timestamptz NOT NULL,
    resolved_at     timestamptz,
    reopened        integer NOT NULL DEFAULT 0,
    version         bigint NOT NULL DEFAULT 1,
    CONSTRAINT trade_break_is_once UNIQUE (profile, origin, type, key, field, ordinal),
    CONSTRAINT resolved_break_has_its_run CHECK ((status = 'resolved') = (resolved_run IS NOT NULL AND resolved_at IS NOT NULL))
);
CREATE INDEX trade_break_by_status ON finobs.trade_break (status, break_id DESC);
CREATE INDEX trade_break_by_type ON finobs.trade_break (type, break_id DESC);
CREATE INDEX trade_break_by_owner ON finobs.trade_break (owner, break_id DESC);
CREATE INDEX trade_break_by_profile ON finobs.trade_break (profile, break_id DESC);
CREATE INDEX trade_break_by_key ON finobs.trade_break (key, break_id DESC);
CREATE INDEX trade_break_by_last_run ON finobs.trade_break (last_run, break_id DESC);

-- What runs did to a break. Rows are only ever added.
CREATE TABLE finobs.trade_break_event (
    break_id    bigint NOT NULL REFERENCES finobs.trade_break,
    run_id      bigint NOT NULL REFERENCES finobs.recon_run,
    event       text NOT NULL CONSTRAINT trade_break_event_is_known CHECK (event IN ('opened', 'changed', 'resolved', 'reopened')),
    left_value  text NOT NULL,
    right_value text NOT NULL,
    difference  numeric,
    exposure    numeric,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (break_id, run_id)
);

GRANT SELECT, INSERT ON finobs.recon_run, finobs.trade_break, finobs.trade_break_event TO finobs_worker;
GRANT UPDATE (state, reason, request, report, breaks_sha256, requested_iss, requested_sub, trace_id, started_at, recorded_at)
    ON finobs.recon_run TO finobs_worker; -- of a run that failed, when it is tried again
GRANT UPDATE (status, severity, owner, sla_hours, left_key, right_key, left_ids, right_ids, left_value, right_value, difference, currency,
    exposure, confidence, needs_review, symbol, side, account, trade_date, settlement_date, cutoff_at, calendar, last_run, resolved_run,
    last_seen_at, resolved_at, reopened, version) ON finobs.trade_break TO finobs_worker;

CREATE VIEW api.recon_run AS
SELECT run_id, run_key, workflow_id, profile, profile_digest, origin, state, reason, request, report,
       encode(breaks_sha256, 'hex') AS breaks_sha256, requested_iss, requested_sub, trace_id, started_at, recorded_at
FROM finobs.recon_run;
CREATE VIEW api.trade_break AS
SELECT b.break_id, b.profile, b.origin, b.type, b.key, b.field, b.ordinal, b.status, b.severity, b.owner, b.sla_hours, b.left_ids, b.right_ids,
       b.left_value, b.right_value, b.difference, b.currency, b.exposure, b.confidence, b.needs_review, b.symbol, b.side, b.account,
       b.trade_date, b.settlement_date, b.cutoff_at, b.calendar, b.first_run, b.last_run, b.resolved_run, f.run_key AS first_run_key,
       l.run_key AS last_run_key, b.first_seen_at, b.last_seen_at, b.resolved_at, b.reopened, b.version
FROM finobs.trade_break b JOIN finobs.recon_run f ON f.run_id = b.first_run JOIN finobs.recon_run l ON l.run_id = b.last_run;
CREATE VIEW api.trade_break_event AS
SELECT e.break_id, e.run_id, r.run_key, r.workflow_id, e.event, e.left_value, e.right_value, e.difference, e.exposure, e.recorded_at
FROM finobs.trade_break_event e JOIN finobs.recon_run r USING (run_id);
GRANT SELECT ON api.recon_run, api.trade_break, api.trade_break_event TO finobs_api;

-- +migrate Down
DROP VIEW api.trade_break_event;
DROP VIEW api.trade_break;
DROP VIEW api.recon_run;
DROP TABLE finobs.trade_break_event;
DROP TABLE finobs.trade_break;
DROP TABLE finobs.recon_run;
