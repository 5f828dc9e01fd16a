-- The log over the ledger: every entry gets a dense index, the leaves form a
-- Merkle tree (RFC 6962), and its root is signed. One sequencer writes; the
-- others wait for the lock of ledger.tree's row.
-- Locking: adding xid rewrites ledger.entry; run it while nothing is recorded.

-- +migrate Up
-- Which transaction wrote an entry. All transactions below a snapshot's xmin have
-- ended, so what they wrote is all there, and a cursor over (xid, entry_id) loses
-- nothing; one over ids or times would.
ALTER TABLE ledger.entry ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX entry_by_xid ON ledger.entry (xid, entry_id);

-- Nobody chooses the xid: an entry that claims an old one would never be sequenced.
REVOKE INSERT ON ledger.entry FROM finobs_worker;
GRANT INSERT (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at, type, actor_type, actor_iss, actor_sub,
    subject_kind, subject_id, action, outcome, reason, desk, request_id, trace_id, workflow_id, ai_explanation,
    agent_input_sha256, agent_output_sha256, agent_version, override_type, is_simulation) ON ledger.entry TO finobs_worker;

CREATE TABLE ledger.leaf (
    leaf_index   bigint PRIMARY KEY CONSTRAINT leaf_index_is_not_negative CHECK (leaf_index >= 0),
    entry_id     uuid NOT NULL CONSTRAINT entry_is_sequenced_once UNIQUE,
    sequenced_at timestamptz NOT NULL
);

-- Tiles of 256 hashes (C2SP tlog-tiles); the rightmost of a level grows.
CREATE TABLE ledger.tile (
    level  smallint NOT NULL,
    n      bigint NOT NULL,
    hashes bytea NOT NULL CONSTRAINT tile_is_of_hashes CHECK (octet_length(hashes) BETWEEN 32 AND 8192 AND octet_length(hashes) % 32 = 0),
    PRIMARY KEY (level, n)
);
ALTER TABLE ledger.tile ALTER COLUMN hashes SET STORAGE EXTERNAL; -- hashes do not compress

CREATE TABLE ledger.tree (
    only_row   boolean PRIMARY KEY DEFAULT true CONSTRAINT tree_is_one_row CHECK (only_row),
    size       bigint NOT NULL DEFAULT 0,
    root       bytea NOT NULL DEFAULT sha256(''), -- RFC 6962: the hash of the empty tree
    last_xid   xid8 NOT NULL DEFAULT '0',
    last_entry uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    grown_at   timestamptz
);
INSERT INTO ledger.tree DEFAULT VALUES;

-- Signed statements of the tree (C2SP tlog-checkpoint), one a size.
CREATE TABLE ledger.checkpoint (
    size      bigint PRIMARY KEY,
    note      text NOT NULL,
    signed_at timestamptz NOT NULL
);

-- What the sequencers say of themselves.
CREATE TABLE ledger.sequencer (
    only_row   boolean PRIMARY KEY DEFAULT true CONSTRAINT sequencer_is_one_row CHECK (only_row),
    holder     text NOT NULL DEFAULT '',
    beat_at    timestamptz,
    refused    text NOT NULL DEFAULT '', -- why it does not sign; empty while it does
    keys       text NOT NULL DEFAULT ''  -- verifier keys that it signs with, one a line
);
INSERT INTO ledger.sequencer DEFAULT VALUES;

CREATE TABLE ledger.sink (
    name       text PRIMARY KEY,
    acked      bigint NOT NULL DEFAULT 0 CONSTRAINT acked_is_not_negative CHECK (acked >= 0), -- next index not acknowledged
    updated_at timestamptz NOT NULL,
    status     jsonb NOT NULL DEFAULT '{}'
);

GRANT SELECT, INSERT ON ledger.leaf, ledger.checkpoint TO finobs_sequencer;
GRANT SELECT, INSERT, UPDATE (hashes) ON ledger.tile TO finobs_sequencer;
GRANT SELECT, UPDATE (size, root, last_xid, last_entry, grown_at) ON ledger.tree TO finobs_sequencer;
GRANT SELECT, UPDATE (holder, beat_at, refused, keys) ON ledger.sequencer TO finobs_sequencer;
GRANT SELECT, INSERT, UPDATE (acked, updated_at, status) ON ledger.sink TO finobs_sequencer;

CREATE TRIGGER leaf_is_append_only BEFORE UPDATE OR DELETE ON ledger.leaf FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER leaf_is_never_truncated BEFORE TRUNCATE ON ledger.leaf FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER checkpoint_is_append_only BEFORE UPDATE OR DELETE ON ledger.checkpoint FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER checkpoint_is_never_truncated BEFORE TRUNCATE ON ledger.checkpoint FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.leaf ENABLE ALWAYS TRIGGER leaf_is_append_only;
ALTER TABLE ledger.leaf ENABLE ALWAYS TRIGGER leaf_is_never_truncated;
ALTER TABLE ledger.checkpoint ENABLE ALWAYS TRIGGER checkpoint_is_append_only;
ALTER TABLE ledger.checkpoint ENABLE ALWAYS TRIGGER checkpoint_is_never_truncated;

-- Reading audit data is an entry too; refusals stay as they are.
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION ledger.append_security_event(
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
    kind   text := CASE p_action WHEN 'read_audit' THEN 'audit.read' ELSE 'security.denied' END;
    idem   bytea := sha256(convert_to('finobs.security.v1' || chr(10) || p_idem, 'UTF8'));
    fate   text := CASE p_action WHEN 'read_audit' THEN 'done' ELSE 'denied' END;
BEGIN
    IF p_action NOT IN ('authenticate', 'authorize', 'dev_insecure', 'read_artefact', 'read_audit') THEN
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
    middle := ',"idem_key":"' || encode(idem, 'hex') || '","is_simulation":false,"outcome":' || to_json(fate)::text || ',"reason":' || to_json(p_reason)::text
        || ',"request_id":' || to_json(p_request_id)::text
        || ',"subject":{"id":' || to_json(p_route)::text || ',"kind":"route"}';
    tail := ',"trace_id":' || to_json(p_trace_id)::text
        || ',"type":' || to_json(kind)::text || ',"v":"1","workflow":{"first_run":"","id":"","namespace":""}}';
    leaf := convert_to(head || ',"id":' || to_json(p_entry_id::text)::text || middle
        || ',"time":' || to_json(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text || tail, 'UTF8');
    INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at,
        type, actor_type, actor_iss, actor_sub, subject_kind, subject_id, action, outcome, reason,
        desk, request_id, trace_id, workflow_id, is_simulation)
    VALUES (p_entry_id, idem, sha256(convert_to(head || middle || tail, 'UTF8')),
        leaf, sha256(leaf), at,
        kind, p_actor_type, p_actor_iss, p_actor_sub, 'route', p_route, p_action, fate, p_reason,
        '', p_request_id, p_trace_id, '', false)
    ON CONFLICT (idem_key) DO NOTHING;
END
$$;
-- +migrate StatementEnd

-- What the sequencer records of itself: that keys were rotated, that a sink lags.
-- p_details is canonical JSON of text values, which the caller writes.
-- +migrate StatementBegin
CREATE FUNCTION ledger.append_log_event(
    p_entry_id uuid, p_idem text, p_type text, p_subject_kind text, p_subject_id text, p_outcome text, p_reason text, p_details text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    at     timestamptz := clock_timestamp();
    head   text;
    middle text;
    tail   text;
    leaf   bytea;
    idem   bytea := sha256(convert_to('finobs.log.v1' || chr(10) || p_idem, 'UTF8'));
BEGIN
    IF p_type NOT IN ('key.rotated', 'siem.lagging', 'siem.recovered') THEN
        RAISE EXCEPTION '% is not an event of the log', p_type USING ERRCODE = 'check_violation';
    END IF;
    IF octet_length(concat(p_subject_kind, p_subject_id, p_outcome, p_reason, p_details)) > 8192 OR jsonb_typeof(p_details::jsonb) <> 'object' THEN
        RAISE EXCEPTION 'event of the log is out of bounds' USING ERRCODE = 'check_violation';
    END IF;
    -- As in append_security_event: the bytes that ledger.Entry.Seal would write.
    head := '{"action":' || to_json(p_type)::text || ',"actor":{"iss":"finobs","kind":"system","sub":"sequencer"}'
        || ',"desk":"","details":' || p_details;
    middle := ',"idem_key":"' || encode(idem, 'hex') || '","is_simulation":false,"outcome":' || to_json(p_outcome)::text || ',"reason":' || to_json(p_reason)::text
        || ',"request_id":"","subject":{"id":' || to_json(p_subject_id)::text || ',"kind":' || to_json(p_subject_kind)::text || '}';
    tail := ',"trace_id":"","type":' || to_json(p_type)::text || ',"v":"1","workflow":{"first_run":"","id":"","namespace":""}}';
    leaf := convert_to(head || ',"id":' || to_json(p_entry_id::text)::text || middle
        || ',"time":' || to_json(to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))::text || tail, 'UTF8');
    INSERT INTO ledger.entry (entry_id, idem_key, content_sha256, leaf, leaf_sha256, recorded_at,
        type, actor_type, actor_iss, actor_sub, subject_kind, subject_id, action, outcome, reason,
        desk, request_id, trace_id, workflow_id, is_simulation)
    VALUES (p_entry_id, idem, sha256(convert_to(head || middle || tail, 'UTF8')),
        leaf, sha256(leaf), at,
        p_type, 'system', 'finobs', 'sequencer', p_subject_kind, p_subject_id, p_type, p_outcome, p_reason,
        '', '', '', '', false)
    ON CONFLICT (idem_key) DO NOTHING;
END
$$;
-- +migrate StatementEnd
REVOKE EXECUTE ON FUNCTION ledger.append_log_event FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.append_log_event TO finobs_sequencer;

CREATE VIEW api.log_entry AS
SELECT l.leaf_index, e.entry_id, encode(e.idem_key, 'hex') AS idem_key, encode(e.content_sha256, 'hex') AS content_sha256, e.recorded_at, e.type, e.action, e.outcome, e.reason,
       e.actor_type, e.actor_iss, e.actor_sub, e.subject_kind, e.subject_id, e.desk, e.request_id, e.trace_id, e.workflow_id,
       e.ai_explanation, encode(e.agent_input_sha256, 'hex') AS agent_input_sha256, encode(e.agent_output_sha256, 'hex') AS agent_output_sha256,
       e.agent_version, e.override_type, e.is_simulation, encode(e.leaf_sha256, 'hex') AS leaf_sha256, e.leaf
FROM ledger.leaf l LEFT JOIN ledger.entry e USING (entry_id);
CREATE VIEW api.tile AS SELECT level, n, hashes FROM ledger.tile;
CREATE VIEW api.tree AS SELECT size, root, grown_at FROM ledger.tree;
CREATE VIEW api.checkpoint AS SELECT size, note, signed_at FROM ledger.checkpoint;
CREATE VIEW api.sequencer AS
SELECT s.holder, s.beat_at, s.refused, s.keys, t.size, (SELECT max(size) FROM ledger.checkpoint) AS signed_size
FROM ledger.sequencer s, ledger.tree t;
CREATE VIEW api.sink AS SELECT name, acked, updated_at, status FROM ledger.sink;
GRANT SELECT ON api.log_entry, api.tile, api.tree, api.checkpoint, api.sequencer, api.sink TO finobs_api;
CREATE INDEX entry_by_actor ON ledger.entry (actor_sub, recorded_at);
CREATE INDEX entry_by_workflow ON ledger.entry (workflow_id) WHERE workflow_id <> '';
CREATE INDEX entry_by_trace ON ledger.entry (trace_id) WHERE trace_id <> '';

-- +migrate Down
DROP INDEX ledger.entry_by_actor, ledger.entry_by_workflow, ledger.entry_by_trace;
DROP VIEW api.sink;
DROP VIEW api.sequencer;
DROP VIEW api.checkpoint;
DROP VIEW api.tree;
DROP VIEW api.tile;
DROP VIEW api.log_entry;
DROP FUNCTION ledger.append_log_event;
DROP TABLE ledger.sink;
DROP TABLE ledger.sequencer;
DROP TABLE ledger.checkpoint;
DROP TABLE ledger.tree;
DROP TABLE ledger.tile;
DROP TABLE ledger.leaf;
DROP INDEX ledger.entry_by_xid;
ALTER TABLE ledger.entry DROP COLUMN xid;
GRANT INSERT ON ledger.entry TO finobs_worker;
