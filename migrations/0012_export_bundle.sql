-- Exports as sealed bundles: compression, destination, the manifest and its place
-- in the chain of manifests, deliveries and verifications.
-- Locking: the ALTERs add columns with constant defaults and take finobs.export
-- for a moment only; the check on its rows is made for new ones (NOT VALID).
-- Rollback: Down removes exports that the schema before cannot hold.

-- +migrate Up
GRANT USAGE ON SCHEMA api TO finobs_worker;
GRANT SELECT ON api.incident, api.transaction, api.person, api.log_entry, api.checkpoint, api.tile TO finobs_worker;

-- Where exports can be delivered, as the workers' configuration has it. The
-- digest is of what the name stands for; approvals are bound to it.
CREATE TABLE finobs.destination (
    name       text PRIMARY KEY,
    type       text NOT NULL CONSTRAINT destination_type_is_known CHECK (type IN ('download', 'file', 's3', 'smtp')),
    digest     text NOT NULL,
    is_default boolean NOT NULL,
    gone       boolean NOT NULL DEFAULT false, -- no longer in the configuration
    updated_at timestamptz NOT NULL
);
GRANT SELECT, INSERT ON finobs.destination TO finobs_worker;
GRANT UPDATE (type, digest, is_default, gone, updated_at) ON finobs.destination TO finobs_worker;
CREATE VIEW api.destination AS SELECT name, type, digest, is_default, updated_at FROM finobs.destination WHERE NOT gone;
GRANT SELECT ON api.destination TO finobs_api;

DROP VIEW api.export;
ALTER TABLE finobs.export DROP CONSTRAINT export_format_is_known;
ALTER TABLE finobs.export DROP CONSTRAINT export_is_once_per_approval;
ALTER TABLE finobs.export RENAME COLUMN byte_count TO content_bytes;
ALTER TABLE finobs.export
    ADD CONSTRAINT export_format_is_known CHECK (format IN ('csv', 'ndjson', 'parquet')),
    ADD COLUMN dataset_version text NOT NULL DEFAULT '1',
    ADD COLUMN compression     text NOT NULL DEFAULT 'none' CONSTRAINT export_compression_is_known CHECK (compression IN ('none', 'gzip', 'zstd')),
    ADD COLUMN destination     text NOT NULL DEFAULT 'download',
    ADD COLUMN schedule_id     bigint,
    ADD COLUMN slot            timestamptz,
    ADD COLUMN checkpoint      text,    -- newest one in the snapshot; empty when there was none
    ADD COLUMN from_leaf       bigint,  -- of datasets that are bounded by the log
    ADD COLUMN to_leaf         bigint,
    ADD COLUMN reproducible    boolean,
    ADD COLUMN file_sha256     bytea CONSTRAINT export_file_digest_is_sha256 CHECK (octet_length(file_sha256) = 32),
    ADD COLUMN file_bytes      bigint,
    ADD COLUMN generator       text,
    ADD COLUMN seal_number     bigint CONSTRAINT export_seal_number_is_taken_once UNIQUE CONSTRAINT export_seal_number_is_positive CHECK (seal_number > 0),
    ADD COLUMN prev_manifest_sha256 bytea CONSTRAINT export_manifest_has_one_successor UNIQUE,
    ADD COLUMN manifest_sha256 bytea CONSTRAINT export_manifest_digest_is_sha256
        CHECK (manifest_sha256 = pg_catalog.sha256(convert_to(manifest, 'UTF8'))),
    ADD COLUMN manifest        text,    -- DSSE envelope
    ADD COLUMN key_id          text,
    ADD COLUMN entry_id        uuid,    -- effect.done, which has the manifest's digest
    ADD COLUMN bundled_at      timestamptz, -- since when the bundle is complete in the store
    ADD COLUMN delivery_status text NOT NULL DEFAULT 'pending' CONSTRAINT export_delivery_status_is_known
        CHECK (delivery_status IN ('pending', 'delivered', 'failed', 'unknown')),
    ADD COLUMN delivered_at    timestamptz,
    ADD COLUMN verification_status text NOT NULL DEFAULT 'unverified' CONSTRAINT export_verification_status_is_known
        CHECK (verification_status IN ('unverified', 'verified', 'tampered', 'missing', 'signature_invalid', 'key_unknown', 'unreachable', 'unreadable')),
    ADD COLUMN verified_at     timestamptz,
    ADD CONSTRAINT slot_belongs_to_a_schedule CHECK ((schedule_id IS NULL) = (slot IS NULL));
ALTER TABLE finobs.export ADD CONSTRAINT sealed_has_a_manifest CHECK (status <> 'sealed' OR num_nulls(checkpoint, reproducible, file_sha256,
    file_bytes, generator, seal_number, prev_manifest_sha256, manifest_sha256, manifest, key_id, entry_id) = 0) NOT VALID;
-- An approval of one export is spent on one; a schedule's grant on one a slot.
CREATE UNIQUE INDEX export_is_once_per_approval ON finobs.export (approval_id) WHERE schedule_id IS NULL;
CREATE INDEX export_by_approval ON finobs.export (approval_id);
CREATE INDEX export_by_status ON finobs.export (status, export_id DESC);
CREATE INDEX export_by_delivery ON finobs.export (delivery_status, export_id DESC);
CREATE INDEX export_by_verification ON finobs.export (verification_status, export_id DESC);
CREATE INDEX export_by_dataset ON finobs.export (dataset, export_id DESC);
CREATE INDEX export_by_schedule ON finobs.export (schedule_id, export_id DESC) WHERE schedule_id IS NOT NULL;

-- What was sealed is final; how it fares afterwards is not.
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION finobs.guard_export_seal() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    fate text[] := ARRAY['delivery_status', 'delivered_at', 'verification_status', 'verified_at', 'bundled_at'];
BEGIN
    IF OLD.status = 'sealed' AND to_jsonb(NEW) - fate IS DISTINCT FROM to_jsonb(OLD) - fate THEN
        RAISE EXCEPTION 'export % is sealed', OLD.export_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'sealed_export_is_final';
    END IF;
    IF OLD.bundled_at IS NOT NULL AND NEW.bundled_at IS DISTINCT FROM OLD.bundled_at THEN
        RAISE EXCEPTION 'the bundle of export % is complete', OLD.export_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'bundle_is_final';
    END IF;
    RETURN NEW;
END
$$;
-- +migrate StatementEnd
GRANT UPDATE (checkpoint, from_leaf, to_leaf, reproducible, file_sha256, file_bytes, generator, seal_number, prev_manifest_sha256, manifest_sha256,
    manifest, key_id, entry_id, bundled_at, delivery_status, delivered_at, verification_status, verified_at) ON finobs.export TO finobs_worker;

CREATE VIEW api.export AS
SELECT export_id, approval_id, action_digest, schedule_id, slot, dataset, dataset_version, format, compression, destination, filters, columns,
       requester_iss, requester_sub, desk, is_simulation, workflow_id, trace_id, status, created_at, snapshot, snapshot_at, checkpoint,
       from_leaf, to_leaf, reproducible, file_name, encode(file_sha256, 'hex') AS file_sha256, file_bytes,
       encode(content_sha256, 'hex') AS content_sha256, content_bytes, row_count, generator, seal_number,
       encode(prev_manifest_sha256, 'hex') AS prev_manifest_sha256, encode(manifest_sha256, 'hex') AS manifest_sha256, manifest, key_id,
       entry_id, sealed_at, bundled_at, delivery_status, delivered_at, verification_status, verified_at
FROM finobs.export;
GRANT SELECT ON api.export TO finobs_api;

-- One row for each attempt at taking a bundle to a destination. It is there
-- before anything leaves.
CREATE TABLE finobs.export_delivery (
    delivery_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    export_id     bigint NOT NULL CONSTRAINT delivery_is_of_an_export REFERENCES finobs.export,
    destination   text NOT NULL,
    attempt       integer NOT NULL CONSTRAINT delivery_attempt_is_positive CHECK (attempt > 0), -- of this export to this destination
    status        text NOT NULL CONSTRAINT delivery_status_is_known CHECK (status IN ('attempting', 'delivered', 'failed', 'unknown')),
    receipt       jsonb NOT NULL DEFAULT '{}',  -- where it lies
    detail        text NOT NULL DEFAULT '',     -- why it failed, or is not known
    requested_iss text NOT NULL DEFAULT '',     -- who asked for it again; empty for the first delivery
    requested_sub text NOT NULL DEFAULT '',
    approval_id   bigint REFERENCES finobs.approval_request, -- of a delivery to another destination than the approved one
    workflow_id   text NOT NULL,
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    verification_status text NOT NULL DEFAULT 'unverified',
    verification_code   text NOT NULL DEFAULT '',
    verification_detail text NOT NULL DEFAULT '',
    verified_at   timestamptz,
    CONSTRAINT delivery_attempts_are_counted UNIQUE (export_id, destination, attempt),
    CONSTRAINT delivery_that_ended_says_when CHECK ((status = 'attempting') = (ended_at IS NULL))
);
CREATE UNIQUE INDEX delivery_one_attempt_at_a_time ON finobs.export_delivery (export_id, destination) WHERE status = 'attempting';

-- +migrate StatementBegin
CREATE FUNCTION finobs.guard_delivery() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    fate text[] := ARRAY['verification_status', 'verification_code', 'verification_detail', 'verified_at'];
BEGIN
    IF OLD.status <> 'attempting' AND to_jsonb(NEW) - fate IS DISTINCT FROM to_jsonb(OLD) - fate THEN
        RAISE EXCEPTION 'delivery % has ended', OLD.delivery_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ended_delivery_is_final';
    END IF;
    RETURN NEW;
END
$$;
-- +migrate StatementEnd
CREATE TRIGGER ended_delivery_is_final BEFORE UPDATE ON finobs.export_delivery
    FOR EACH ROW EXECUTE FUNCTION finobs.guard_delivery();
GRANT SELECT, INSERT ON finobs.export_delivery TO finobs_worker;
GRANT UPDATE (status, receipt, detail, ended_at, verification_status, verification_code, verification_detail, verified_at)
    ON finobs.export_delivery TO finobs_worker;
CREATE VIEW api.export_delivery AS
SELECT delivery_id, export_id, destination, attempt, status, receipt, detail, requested_iss, requested_sub, approval_id, workflow_id,
       started_at, ended_at, verification_status, verification_code, verification_detail, verified_at
FROM finobs.export_delivery;
GRANT SELECT ON api.export_delivery TO finobs_api;

-- Who asked for, decided on, did and was refused what, with the agents' part.
CREATE VIEW api.compliance_log AS
SELECT l.leaf_index, e.entry_id, e.recorded_at, e.type, e.action, e.outcome, e.reason, e.actor_type, e.actor_iss, e.actor_sub,
       e.subject_kind, e.subject_id, e.desk, e.request_id, e.trace_id, e.workflow_id, e.ai_explanation,
       convert_from(i.bytes, 'UTF8') AS agent_input, convert_from(o.bytes, 'UTF8') AS agent_output, e.agent_version, e.override_type,
       e.is_simulation, encode(e.leaf_sha256, 'hex') AS leaf_sha256
FROM ledger.leaf l JOIN ledger.entry e USING (entry_id)
LEFT JOIN ledger.blob i ON i.sha256 = e.agent_input_sha256
LEFT JOIN ledger.blob o ON o.sha256 = e.agent_output_sha256
WHERE split_part(e.type, '.', 1) IN ('approval', 'effect', 'export', 'user', 'policy', 'security', 'agent', 'schedule', 'workflow', 'activity');
GRANT SELECT ON api.compliance_log TO finobs_api, finobs_worker;

-- +migrate Down
DROP VIEW api.compliance_log;
DROP VIEW api.export_delivery;
DROP TABLE finobs.export_delivery;
DROP FUNCTION finobs.guard_delivery;
DROP VIEW api.export;
DELETE FROM finobs.export WHERE format = 'parquet' OR schedule_id IS NOT NULL;
ALTER TABLE finobs.export DROP CONSTRAINT export_format_is_known, DROP CONSTRAINT sealed_has_a_manifest;
DROP INDEX finobs.export_is_once_per_approval, finobs.export_by_approval, finobs.export_by_status, finobs.export_by_delivery,
    finobs.export_by_verification, finobs.export_by_dataset;
ALTER TABLE finobs.export
    DROP COLUMN dataset_version, DROP COLUMN compression, DROP COLUMN destination, DROP COLUMN schedule_id, DROP COLUMN slot,
    DROP COLUMN checkpoint, DROP COLUMN from_leaf, DROP COLUMN to_leaf, DROP COLUMN reproducible, DROP COLUMN file_sha256,
    DROP COLUMN file_bytes, DROP COLUMN generator, DROP COLUMN seal_number, DROP COLUMN prev_manifest_sha256, DROP COLUMN manifest_sha256,
    DROP COLUMN manifest, DROP COLUMN key_id, DROP COLUMN entry_id, DROP COLUMN bundled_at, DROP COLUMN delivery_status,
    DROP COLUMN delivered_at, DROP COLUMN verification_status, DROP COLUMN verified_at;
ALTER TABLE finobs.export RENAME COLUMN content_bytes TO byte_count;
ALTER TABLE finobs.export
    ADD CONSTRAINT export_format_is_known CHECK (format IN ('csv', 'ndjson')),
    ADD CONSTRAINT export_is_once_per_approval UNIQUE (approval_id);
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION finobs.guard_export_seal() RETURNS trigger
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
CREATE VIEW api.export AS
SELECT export_id, approval_id, action_digest, dataset, format, filters, columns, requester_iss, requester_sub, desk,
       is_simulation, workflow_id, trace_id, status, created_at, snapshot, snapshot_at, file_name,
       encode(content_sha256, 'hex') AS content_sha256, row_count, byte_count, sealed_at
FROM finobs.export;
GRANT SELECT ON api.export TO finobs_api;
DROP VIEW api.destination;
DROP TABLE finobs.destination;
REVOKE SELECT ON api.incident, api.transaction, api.person, api.log_entry, api.checkpoint, api.tile FROM finobs_worker;
REVOKE USAGE ON SCHEMA api FROM finobs_worker;
