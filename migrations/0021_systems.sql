-- Which workers live and what they find of the systems that they alone can reach,
-- and how far the log is behind the ledger. These rows are of the moment: they are
-- no part of the record, and a worker removes those of workers that are long gone.
-- Locking: new tables and views only.

-- +migrate Up
CREATE TABLE finobs.worker (
    instance    text PRIMARY KEY,      -- one a process, new at each start
    host        text NOT NULL,
    identity    text NOT NULL,         -- that it polls Temporal with, without the task queue
    version     text NOT NULL,
    record_only boolean NOT NULL,      -- it leaves effects to others
    feeds       jsonb NOT NULL,        -- what its desk file says of feeds
    started_at  timestamptz NOT NULL,
    beat_at     timestamptz NOT NULL,
    ended_at    timestamptz            -- it stopped in order
);

-- What a worker found when it last looked.
CREATE TABLE finobs.probe (
    instance    text NOT NULL CONSTRAINT probe_is_of_a_worker REFERENCES finobs.worker ON DELETE CASCADE,
    kind        text NOT NULL CONSTRAINT probe_kind_is_known CHECK (kind IN ('destination', 'channel', 'connector', 'model')),
    name        text NOT NULL,
    state       text NOT NULL CONSTRAINT probe_state_is_known CHECK (state IN ('ok', 'degraded', 'down', 'unknown')),
    detail      text NOT NULL,
    latency_us  bigint NOT NULL,       -- 0: not measured
    since       timestamptz NOT NULL,  -- in this state
    evidence_at timestamptz,           -- when there was something to go by; null: never
    looked_at   timestamptz NOT NULL,
    PRIMARY KEY (instance, kind, name)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON finobs.worker, finobs.probe TO finobs_worker;

CREATE VIEW api.worker AS SELECT instance, host, identity, version, record_only, feeds, started_at, beat_at, ended_at FROM finobs.worker;
CREATE VIEW api.probe AS SELECT instance, kind, name, state, detail, latency_us, since, evidence_at, looked_at FROM finobs.probe;

-- Entries that have no place in the log yet. They are counted to 100,000: who is
-- further behind has another problem than the number.
CREATE VIEW api.log_lag AS
SELECT count(*) AS waiting, min(recorded_at) AS oldest_at
FROM (SELECT e.recorded_at FROM ledger.entry e, ledger.tree t WHERE (e.xid, e.entry_id) > (t.last_xid, t.last_entry)
      ORDER BY e.xid, e.entry_id LIMIT 100000) AS w;

GRANT SELECT ON api.worker, api.probe, api.log_lag TO finobs_api;

-- +migrate Down
DROP VIEW api.log_lag;
DROP VIEW api.probe;
DROP VIEW api.worker;
DROP TABLE finobs.probe;
DROP TABLE finobs.worker;
