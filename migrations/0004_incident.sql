-- Incidents: what a desk has to deal with. Locking: new tables only.

-- +migrate Up
CREATE TABLE finobs.incident (
    incident_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind           text NOT NULL CONSTRAINT incident_kind_is_known
        CHECK (kind IN ('trade_break', 'failed_settlement', 'system_outage', 'other')),
    severity       text NOT NULL CONSTRAINT incident_severity_is_known
        CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    status         text NOT NULL DEFAULT 'open' CONSTRAINT incident_status_is_known
        CHECK (status IN ('open', 'acknowledged', 'resolved', 'closed')),
    title          text NOT NULL CONSTRAINT incident_has_a_title CHECK (title <> ''),
    description    text NOT NULL,
    desk           text NOT NULL,
    source         text NOT NULL,   -- what opened it: manual, sec_fails, …
    dedup_key      text NOT NULL,   -- one open incident per key
    subject_kind   text NOT NULL,   -- such as security
    subject_id     text NOT NULL,   -- such as a CUSIP
    exposure_usd   numeric,         -- money at risk; null when not known
    details        jsonb NOT NULL,
    origin         text NOT NULL CONSTRAINT incident_origin_is_known CHECK (origin IN ('live', 'demo')),
    opened_by_type text NOT NULL CONSTRAINT incident_opener_is_known CHECK (opened_by_type IN ('human', 'agent', 'system')),
    opened_by_iss  text NOT NULL,
    opened_by_sub  text NOT NULL,
    version        bigint NOT NULL DEFAULT 1,
    trace_id       text NOT NULL,
    opened_at      timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL
);
CREATE UNIQUE INDEX incident_one_open_per_key ON finobs.incident (dedup_key) WHERE status IN ('open', 'acknowledged');
CREATE INDEX incident_by_status ON finobs.incident (status, incident_id DESC);
CREATE INDEX incident_by_kind ON finobs.incident (kind, incident_id DESC);

GRANT SELECT, INSERT ON finobs.incident TO finobs_worker;
GRANT UPDATE (severity, status, title, description, exposure_usd, details, version, updated_at) ON finobs.incident TO finobs_worker;

CREATE VIEW api.incident AS
SELECT incident_id, kind, severity, status, title, description, desk, source, dedup_key, subject_kind, subject_id,
       exposure_usd, details, origin, opened_by_type, opened_by_iss, opened_by_sub, version, trace_id, opened_at, updated_at
FROM finobs.incident;
GRANT SELECT ON api.incident TO finobs_api;

-- +migrate Down
DROP VIEW api.incident;
DROP TABLE finobs.incident;
