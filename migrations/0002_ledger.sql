-- The ledger: leaf holds the exact bytes that are hashed; the other columns are
-- a projection of the leaf for people and indexes, checked against it offline.
-- Rows are only ever inserted. Locking: new tables only.

-- +migrate Up
CREATE TABLE ledger.blob (
    sha256     bytea PRIMARY KEY CONSTRAINT blob_digest_is_sha256 CHECK (sha256 = pg_catalog.sha256(bytes)),
    bytes      bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE ledger.entry (
    entry_id       uuid PRIMARY KEY,
    idem_key       bytea NOT NULL CONSTRAINT entry_idem_key_is_unique UNIQUE,
    content_sha256 bytea NOT NULL, -- what a retry must repeat: the leaf without id and time
    leaf           bytea NOT NULL CONSTRAINT leaf_is_at_most_16_kib CHECK (octet_length(leaf) <= 16384),
    leaf_sha256    bytea NOT NULL CONSTRAINT leaf_digest_is_sha256 CHECK (leaf_sha256 = pg_catalog.sha256(leaf)),
    recorded_at    timestamptz NOT NULL,
    -- projection
    type           text NOT NULL,
    actor_type     text NOT NULL CONSTRAINT actor_type_is_known CHECK (actor_type IN ('human', 'agent', 'system')),
    actor_iss      text NOT NULL,
    actor_sub      text NOT NULL,
    subject_kind   text NOT NULL,
    subject_id     text NOT NULL,
    action         text NOT NULL,
    outcome        text NOT NULL,
    reason         text NOT NULL,
    desk           text NOT NULL,
    request_id     text NOT NULL,
    trace_id       text NOT NULL,
    workflow_id    text NOT NULL,
    ai_explanation text,
    agent_input_sha256  bytea,
    agent_output_sha256 bytea,
    agent_version  text,
    override_type  text CONSTRAINT override_type_is_known CHECK (override_type IN ('ai_override', 'manual_override')),
    is_simulation  boolean NOT NULL,
    CONSTRAINT agent_input_is_a_blob FOREIGN KEY (agent_input_sha256) REFERENCES ledger.blob (sha256),
    CONSTRAINT agent_output_is_a_blob FOREIGN KEY (agent_output_sha256) REFERENCES ledger.blob (sha256)
);
CREATE INDEX entry_by_subject ON ledger.entry (subject_kind, subject_id, recorded_at);
CREATE INDEX entry_by_time ON ledger.entry (recorded_at, entry_id);

-- +migrate StatementBegin
CREATE FUNCTION ledger.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RAISE EXCEPTION 'ledger.% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +migrate StatementEnd

CREATE TRIGGER entry_is_append_only BEFORE UPDATE OR DELETE ON ledger.entry
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER entry_is_never_truncated BEFORE TRUNCATE ON ledger.entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER blob_is_append_only BEFORE UPDATE OR DELETE ON ledger.blob
    FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER blob_is_never_truncated BEFORE TRUNCATE ON ledger.blob
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
-- ALWAYS: also when session_replication_role is replica.
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_is_append_only;
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_is_never_truncated;
ALTER TABLE ledger.blob ENABLE ALWAYS TRIGGER blob_is_append_only;
ALTER TABLE ledger.blob ENABLE ALWAYS TRIGGER blob_is_never_truncated;

GRANT INSERT ON ledger.entry, ledger.blob TO finobs_worker;
-- A retry compares what it is about to write with what is there.
GRANT SELECT (entry_id, idem_key, content_sha256, recorded_at) ON ledger.entry TO finobs_worker;
GRANT SELECT (sha256) ON ledger.blob TO finobs_worker;
GRANT SELECT ON ledger.entry, ledger.blob TO finobs_sequencer;

-- The API's only write. It builds the leaf itself, so that a stolen API role
-- can say no more than "I refused somebody", and never in another's format.
-- +migrate StatementBegin
CREATE FUNCTION ledger.append_security_event(
    p_entry_id uuid, p_idem text, p_action text, p_reason text,
    p_actor_type text, p_actor_iss text, p_actor_sub text,
    p_route text, p_request_id text, p_trace_id text, p_count integer, p_first_at timestamptz
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    at     timestamptz := clock_timestamp();
    head   text;
    middle text;
    tail   text;
    leaf   bytea;
BEGIN
    IF p_action NOT IN ('authenticate', 'authorize', 'dev_insecure', 'read_artefact') THEN
        RAISE EXCEPTION 'action % is not a security event', p_action USING ERRCODE = 'check_violation';
    END IF;
    IF p_count < 1 OR octet_length(concat(p_reason, p_actor_iss, p_actor_sub, p_route, p_request_id, p_trace_id)) > 4096 THEN
        RAISE EXCEPTION 'security event is out of bounds' USING ERRCODE = 'check_violation';
    END IF;
    -- Canonical JSON (RFC 8785), the bytes that ledger.Entry.Seal would write:
    -- sorted keys, no white space. to_json(text) escapes exactly what RFC 8785
    -- escapes.
    head := '{"action":' || to_json(p_action)::text
        || ',"actor":{"iss":' || to_json(p_actor_iss)::text || ',"kind":' || to_json(p_actor_type)::text
        || ',"sub":' || to_json(p_actor_sub)::text || '}'
        || ',"desk":""'
        || ',"details":{"count":' || to_json(p_count::text)::text
        || ',"first_at":' || to_json(to_char(p_first_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text || '}';
    middle := ',"is_simulation":false,"outcome":"denied","reason":' || to_json(p_reason)::text
        || ',"request_id":' || to_json(p_request_id)::text
        || ',"subject":{"id":' || to_json(p_route)::text || ',"kind":"route"}';
    tail := ',"trace_id":' || to_json(p_trace_id)::text
        || ',"type":"security.denied","v":"1","workflow":{"first_run":"","id":"","namespace":""}}';
    leaf := convert_to(head || ',"id":' || to_json(p_entry_id::text)::text || middle
        || ',"time":' || to_json(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text || tail, 'UTF8');
    INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at,
        type, actor_type, actor_iss, actor_sub, subject_kind, subject_id, action, outcome, reason,
        desk, request_id, trace_id, workflow_id, is_simulation)
    VALUES (p_entry_id, sha256(convert_to('finobs.security.v1' || chr(10) || p_idem, 'UTF8')), sha256(convert_to(head || middle || tail, 'UTF8')),
        leaf, sha256(leaf), at,
        'security.denied', p_actor_type, p_actor_iss, p_actor_sub, 'route', p_route, p_action, 'denied', p_reason,
        '', p_request_id, p_trace_id, '', false)
    ON CONFLICT (idem_key) DO NOTHING;
END
$$;
-- +migrate StatementEnd
REVOKE EXECUTE ON FUNCTION ledger.append_security_event FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO finobs_api;
GRANT EXECUTE ON FUNCTION ledger.append_security_event TO finobs_api;

-- The brief's name for the record, with its seven fields.
CREATE VIEW api.agent_action_audit_log AS
SELECT e.entry_id, e.recorded_at, e.type, e.action, e.outcome, e.reason,
       e.actor_type, e.actor_iss, e.actor_sub, e.subject_kind, e.subject_id, e.desk,
       e.request_id, e.trace_id, e.workflow_id,
       e.ai_explanation,
       convert_from(i.bytes, 'UTF8') AS agent_input,
       convert_from(o.bytes, 'UTF8') AS agent_output,
       e.agent_version, e.override_type, e.is_simulation,
       encode(e.leaf_sha256, 'hex') AS leaf_sha256,
       convert_from(e.leaf, 'UTF8') AS leaf
FROM ledger.entry e
LEFT JOIN ledger.blob i ON i.sha256 = e.agent_input_sha256
LEFT JOIN ledger.blob o ON o.sha256 = e.agent_output_sha256;
GRANT SELECT ON api.agent_action_audit_log TO finobs_api;

-- +migrate Down
DROP VIEW api.agent_action_audit_log;
DROP FUNCTION ledger.append_security_event;
DROP TABLE ledger.entry;
DROP TABLE ledger.blob;
DROP FUNCTION ledger.refuse_change;
