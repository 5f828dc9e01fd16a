-- Exports: one row per carried-out export, and at most one per approval.
-- Locking: new tables only.

-- +migrate Up
CREATE TABLE finobs.export (
    export_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    approval_id    bigint NOT NULL CONSTRAINT export_is_once_per_approval UNIQUE
        CONSTRAINT export_is_approved REFERENCES finobs.approval_request,
    action_digest  text NOT NULL,
    dataset        text NOT NULL,
    format         text NOT NULL CONSTRAINT export_format_is_known CHECK (format IN ('csv', 'ndjson')),
    filters        jsonb NOT NULL,
    columns        text[] NOT NULL,
    requester_iss  text NOT NULL,
    requester_sub  text NOT NULL,
    desk           text NOT NULL,
    is_simulation  boolean NOT NULL,
    workflow_id    text NOT NULL,
    trace_id       text NOT NULL,
    status         text NOT NULL DEFAULT 'intended' CONSTRAINT export_status_is_known
        CHECK (status IN ('intended', 'sealed')),
    created_at     timestamptz NOT NULL,
    snapshot       text,            -- pg_current_snapshot() of the read
    snapshot_at    timestamptz,
    file_name      text,
    content_sha256 bytea CONSTRAINT export_digest_is_sha256 CHECK (octet_length(content_sha256) = 32),
    row_count      bigint,
    byte_count     bigint,
    sealed_at      timestamptz,
    CONSTRAINT sealed_is_complete CHECK ((status = 'sealed') = (
        snapshot IS NOT NULL AND snapshot_at IS NOT NULL AND file_name IS NOT NULL AND content_sha256 IS NOT NULL
        AND row_count IS NOT NULL AND byte_count IS NOT NULL AND sealed_at IS NOT NULL))
);

-- +migrate StatementBegin
CREATE FUNCTION finobs.guard_export_seal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF OLD.status = 'sealed' THEN
        RAISE EXCEPTION 'export % is sealed', OLD.export_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'sealed_export_is_final';
    END IF;
    RETURN NEW;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER sealed_export_is_final BEFORE UPDATE ON finobs.export
    FOR EACH ROW EXECUTE FUNCTION finobs.guard_export_seal();

GRANT SELECT, INSERT ON finobs.export TO finobs_worker;
GRANT UPDATE (status, snapshot, snapshot_at, file_name, content_sha256, row_count, byte_count, sealed_at) ON finobs.export TO finobs_worker;

CREATE VIEW api.export AS
SELECT export_id, approval_id, action_digest, dataset, format, filters, columns, requester_iss, requester_sub, desk,
       is_simulation, workflow_id, trace_id, status, created_at, snapshot, snapshot_at, file_name,
       encode(content_sha256, 'hex') AS content_sha256, row_count, byte_count, sealed_at
FROM finobs.export;
GRANT SELECT ON api.export TO finobs_api;

-- +migrate Down
DROP VIEW api.export;
DROP TABLE finobs.export;
DROP FUNCTION finobs.guard_export_seal;
