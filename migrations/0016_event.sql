-- Events: what gateways, monitors and systems reported, one row each, and when each
-- system was heard of last. Locking: new tables; the constraint of finobs.import is
-- checked once, a row a file.

-- +migrate Up
ALTER TABLE finobs.import DROP CONSTRAINT import_kind_is_known;
ALTER TABLE finobs.import ADD CONSTRAINT import_kind_is_known CHECK (kind IN ('sec_fails', 'transactions', 'fix'));

-- What senders sent, byte for byte, by its digest. Files lie in the spool instead.
CREATE TABLE finobs.payload (
    sha256      bytea PRIMARY KEY CONSTRAINT payload_digest_is_sha256 CHECK (sha256 = pg_catalog.sha256(bytes)),
    bytes       bytea NOT NULL,
    source      text NOT NULL,          -- that sent it first
    received_at timestamptz NOT NULL
);

CREATE TABLE finobs.event (
    event_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source      text NOT NULL CONSTRAINT event_has_a_source CHECK (source <> ''),
    event_key   text NOT NULL CONSTRAINT event_has_a_key CHECK (event_key <> ''), -- the sender's, or a digest
    kind        text NOT NULL CONSTRAINT event_kind_is_known CHECK (kind IN ('alert', 'order_reject', 'cancel_reject', 'business_reject',
                    'session_reject', 'dont_know_trade', 'sequence_gap', 'disconnect', 'logon', 'logout', 'trade_bust', 'trade_correct')),
    state       text NOT NULL CONSTRAINT event_state_is_known CHECK (state IN ('firing', 'acknowledged', 'resolved', 'point')),
    severity    text NOT NULL CONSTRAINT event_severity_is_known CHECK (severity IN ('info', 'low', 'medium', 'high', 'critical')),
    fingerprint text NOT NULL,          -- of the condition: the same when it begins and ends
    system      text NOT NULL,          -- what it is about; empty when not known
    title       text NOT NULL,
    detail      text NOT NULL,
    ref         text NOT NULL,          -- what it refers to, such as the trade that is busted
    labels      jsonb NOT NULL,
    url         text NOT NULL,
    occurred_at timestamptz NOT NULL,   -- by its source
    received_at timestamptz NOT NULL,
    content_sha256 bytea NOT NULL,      -- of the payload or file that it stood in
    line        integer NOT NULL,       -- of the file, from 1; 0 in a payload
    origin      text NOT NULL CONSTRAINT event_origin_is_known CHECK (origin IN ('live', 'demo')),
    trace_id    text NOT NULL,
    CONSTRAINT event_is_once_per_source UNIQUE (source, event_key)
);
CREATE INDEX event_by_kind ON finobs.event (kind, event_id DESC);
CREATE INDEX event_by_system ON finobs.event (system, event_id DESC);
CREATE INDEX event_by_source ON finobs.event (source, event_id DESC);
CREATE INDEX event_by_condition ON finobs.event (source, fingerprint, event_id DESC) WHERE fingerprint <> '';
CREATE INDEX event_of_rejects ON finobs.event (source, system, occurred_at)
    WHERE kind IN ('order_reject', 'cancel_reject', 'business_reject', 'session_reject', 'dont_know_trade');
CREATE INDEX event_by_reference ON finobs.event (source, ref) WHERE ref <> '';

-- When each system was heard of last.
CREATE TABLE finobs.heartbeat (
    system        text PRIMARY KEY,
    source        text NOT NULL,
    status        text NOT NULL CONSTRAINT heartbeat_status_is_known CHECK (status IN ('up', 'degraded', 'down')),
    detail        text NOT NULL,
    every_seconds integer NOT NULL CONSTRAINT heartbeat_period_is_sensible CHECK (every_seconds BETWEEN 1 AND 86400),
    sent_at       timestamptz NOT NULL, -- by the system's clock
    received_at   timestamptz NOT NULL,
    beats         bigint NOT NULL DEFAULT 1,
    origin        text NOT NULL CONSTRAINT heartbeat_origin_is_known CHECK (origin IN ('live', 'demo'))
);
CREATE INDEX heartbeat_by_age ON finobs.heartbeat (received_at);

-- When each source was heard of last, whatever it sent.
CREATE TABLE finobs.feed (
    source      text PRIMARY KEY,
    received_at timestamptz NOT NULL,
    payloads    bigint NOT NULL DEFAULT 1
);

-- What each detector found. The cursor is where the next run begins.
CREATE TABLE finobs.detector_run (
    run_id      uuid PRIMARY KEY,
    detector    text NOT NULL,
    workflow_id text NOT NULL,
    started_at  timestamptz NOT NULL,
    examined    bigint NOT NULL,  -- things that it looked at
    found       bigint NOT NULL,  -- conditions that hold
    opened      bigint NOT NULL,  -- incidents
    resolved    bigint NOT NULL,  -- incidents
    asked_iss   text NOT NULL,    -- who asked for this run; empty when it was due
    asked_sub   text NOT NULL
);
CREATE INDEX detector_run_by_detector ON finobs.detector_run (detector, started_at DESC);

CREATE TABLE finobs.detector (
    name        text PRIMARY KEY,
    description text NOT NULL,
    every_seconds integer NOT NULL,
    owner       text NOT NULL,
    severity    text NOT NULL,
    enabled     boolean NOT NULL,
    cursor      bigint NOT NULL DEFAULT 0, -- the last event that it looked at, for those that look at events
    updated_at  timestamptz NOT NULL
);

GRANT SELECT, INSERT ON finobs.payload, finobs.event, finobs.detector_run TO finobs_worker;
GRANT SELECT, INSERT, UPDATE ON finobs.heartbeat, finobs.feed, finobs.detector TO finobs_worker;

CREATE VIEW api.event AS
SELECT event_id, source, event_key, kind, state, severity, fingerprint, system, title, detail, ref, labels, url, occurred_at, received_at,
       encode(content_sha256, 'hex') AS content_sha256, line, origin, trace_id
FROM finobs.event;
CREATE VIEW api.payload AS
SELECT sha256, bytes, source, received_at FROM finobs.payload;
CREATE VIEW api.heartbeat AS
SELECT system, source, status, detail, every_seconds, sent_at, received_at, beats, origin FROM finobs.heartbeat;
CREATE VIEW api.feed AS SELECT source, received_at, payloads FROM finobs.feed;
CREATE VIEW api.detector AS
SELECT d.name, d.description, d.every_seconds, d.owner, d.severity, d.enabled, r.started_at AS last_run_at, r.examined, r.found, r.opened, r.resolved
FROM finobs.detector d
LEFT JOIN LATERAL (SELECT * FROM finobs.detector_run x WHERE x.detector = d.name ORDER BY x.started_at DESC LIMIT 1) r ON true;
CREATE VIEW api.detector_run AS
SELECT run_id, detector, workflow_id, started_at, examined, found, opened, resolved, asked_iss, asked_sub FROM finobs.detector_run;
GRANT SELECT ON api.event, api.payload, api.heartbeat, api.feed, api.detector, api.detector_run TO finobs_api;

-- +migrate Down
DROP VIEW api.detector_run;
DROP VIEW api.detector;
DROP VIEW api.feed;
DROP VIEW api.heartbeat;
DROP VIEW api.payload;
DROP VIEW api.event;
DROP TABLE finobs.detector;
DROP TABLE finobs.detector_run;
DROP TABLE finobs.feed;
DROP TABLE finobs.heartbeat;
DROP TABLE finobs.event;
DROP TABLE finobs.payload;
ALTER TABLE finobs.transaction DROP CONSTRAINT transaction_comes_from_an_import;
DELETE FROM finobs.transaction_version WHERE import_id IN (SELECT import_id FROM finobs.import WHERE kind = 'fix');
DELETE FROM finobs.transaction WHERE import_id IN (SELECT import_id FROM finobs.import WHERE kind = 'fix');
ALTER TABLE finobs.transaction ADD CONSTRAINT transaction_comes_from_an_import FOREIGN KEY (import_id) REFERENCES finobs.import
    DEFERRABLE INITIALLY DEFERRED;
DELETE FROM finobs.import WHERE kind = 'fix';
ALTER TABLE finobs.import DROP CONSTRAINT import_kind_is_known;
ALTER TABLE finobs.import ADD CONSTRAINT import_kind_is_known CHECK (kind IN ('sec_fails', 'transactions'));
